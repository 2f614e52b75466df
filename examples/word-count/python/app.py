# Copyright 2024 Function Stream Org.
# SPDX-License-Identifier: Apache-2.0

"""Counts words: for each word of a record, how often it has come up so far."""

from functionstream import Function
from functionstream.states import MapState


class WordCount(Function):
    def init(self, ctx):
        self.counts = MapState(ctx, "counts", str, int)

    def process(self, ctx, record):
        for word in record.text.split():
            count = self.counts.get(word, 0) + 1
            self.counts[word] = count
            ctx.emit(str(count), key=word)
