# Copyright 2024 Function Stream Org.
# SPDX-License-Identifier: Apache-2.0

"""Counts the records of each key in windows of event time, which follow each other without a gap.

A window's count is emitted once, when no record of it is expected any more; a record that comes later all the same is dropped.
"""

import re

from functionstream import EVENT_TIME, Function
from functionstream.states import ValueState

MILLISECONDS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000}


def milliseconds(text):
    """The milliseconds of a duration such as `10s`."""
    found = re.fullmatch(r"([1-9]\d*)(ms|s|m|h)", text)
    if not found:
        raise ValueError(f"the window '{text}' is not a duration of a millisecond at least, such as 10s")
    return int(found[1]) * MILLISECONDS[found[2]]


class Window(Function):
    def init(self, ctx):
        self.size = milliseconds(ctx.config.get("window", "10s"))
        # How many records each open window has. Its end and its key are its name, and that of the timer at its end.
        self.count = ValueState.keyed(ctx, "counts", int)
        self.dropped = ValueState(ctx, "dropped", int)
        self.kept = ValueState(ctx, "watermark", int)
        self.watermark = self.kept.get()

    def process(self, ctx, record):
        end = record.timestamp - record.timestamp % self.size + self.size
        if self.watermark is not None and end <= self.watermark:
            self.dropped.set(self.dropped.get(0) + 1)
            return
        name = end.to_bytes(8, signed=True) + (record.key or b"")
        count = self.count(name)
        if count.get() is None:
            ctx.set_timer(EVENT_TIME, name, end)
        count.set(count.get(0) + 1)

    def on_timer(self, ctx, timer):
        """No record of a window is expected any more."""
        key, count = timer.key[8:], self.count(timer.key)
        ctx.emit_json({"key": key.decode(), "window": timer.at - self.size, "count": count.get()}, key=key)
        count.clear()

    def process_watermark(self, ctx, source, watermark):
        """All timers have fired that the watermark made due.

        It is kept, so that a new instance knows as well which records are late, and passed on to who reads the results.
        """
        self.watermark = min(watermark, 2**63 - 1)
        self.kept.set(self.watermark)
        ctx.emit_watermark(watermark)

    def custom(self, ctx, payload):
        """How many records came too late."""
        if payload != b"dropped":
            raise ValueError("what can be asked is 'dropped'")
        return str(self.dropped.get(0)).encode()
