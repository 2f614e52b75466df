# Copyright 2024 Function Stream Org.
# SPDX-License-Identifier: Apache-2.0

"""Counts the records of each key, and emits the count with the key. Counts are 8 bytes, little-endian."""

from functionstream import Function


class KeyedCount(Function):
    def init(self, ctx):
        self.counts = ctx.store("counts")

    def process(self, ctx, record):
        before = self.counts.get(record.key) or b""
        count = (int.from_bytes(before, "little") + 1).to_bytes(8, "little")
        self.counts.put(record.key, count)
        ctx.emit(count, key=record.key)
