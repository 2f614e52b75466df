# Copyright 2024 Function Stream Org.
# SPDX-License-Identifier: Apache-2.0

"""The host's side, in memory."""

import copy

from .. import frame, lists
from ..errors import FunctionError

# The longest key of a timer in bytes.
_MOST_TIMER_KEY = 64 << 10


class Memory:
    """The outside of a function. What a failed call must leave as it was is in ``world``."""

    def __init__(self, emitted):
        self.stores = []
        self.world = World()
        self._emitted = emitted

    def emit_frame(self, data):
        self.world.output += [self._emitted(*record) for record in frame.read(data)]

    def emit_watermark(self, target, watermark):
        self.world.watermarks.append((target, watermark))

    def set_timer(self, domain, key, at):
        _check_timer_key(key)
        world = self.world
        has_come = domain in world.reached and at <= world.reached[domain]
        world.timers[domain, key] = (at, world.turn if has_come else None)

    def delete_timer(self, domain, key):
        _check_timer_key(key)
        self.world.timers.pop((domain, key), None)

    def open(self, name):
        length = len(name.encode())
        if not 1 <= length <= 255:
            raise FunctionError(f"a store name has {length} bytes, not 1 to 255")
        if name not in self.stores:
            self.stores.append(name)
        return self.stores.index(name)

    def get(self, store, key):
        return self.world.state.get((store, key))

    def write(self, store, ops):
        state = self.world.state
        for kind, key, value in lists.read_ops(ops):
            if kind == lists.PUT:
                state[store, key] = value
            elif kind == lists.DELETE:
                state.pop((store, key), None)
            elif kind == lists.MERGE:
                state[store, key] = state.get((store, key), b"") + value
            else:
                for of, known in [at for at in state if at[0] == store and key <= at[1] and (not value or at[1] < value)]:
                    del state[of, known]

    def scan(self, store, start, end, most_bytes):
        state, pairs, size = self.world.state, [], 0
        for of, key in sorted(state):
            if of != store or key < start or (end is not None and key >= end):
                continue
            value = state[of, key]
            if pairs and size + len(key) + len(value) > most_bytes:
                return pairs, key
            size += len(key) + len(value)
            pairs.append((key, value))
        return pairs, None


class World:
    """What a failed call must leave as it was."""

    def __init__(self):
        self.output = []
        self.watermarks = []
        # When each timer is due, and its turn in the queue if its time had come when it was set.
        self.timers = {}
        # The time of each domain that has come: a timer that is set for it or an earlier one waits in the queue.
        self.reached = {}
        # The turn of those that are queued now.
        self.turn = 0
        self.state = {}

    def copy(self):
        made = copy.copy(self)
        made.output, made.watermarks = list(self.output), list(self.watermarks)
        made.timers, made.reached, made.state = dict(self.timers), dict(self.reached), dict(self.state)
        return made

    def due(self, domain, now):
        """The timers of a domain that are due at a time and not queued, in the order of their times."""
        return self.find(domain, lambda at, turn: turn is None and at <= now)

    def queued(self, domain, last):
        """The timers of the queue of a domain up to a turn, in the order of their times."""
        return self.find(domain, lambda at, turn: turn is not None and turn <= last)

    def find(self, domain, wanted):
        timers = self.timers.items()
        return sorted((domain, at, key) for (of, key), (at, turn) in timers if of == domain and wanted(at, turn))


def _check_timer_key(key):
    if len(key) > _MOST_TIMER_KEY:
        raise FunctionError(f"a timer's key has {len(key)} bytes, more than {_MOST_TIMER_KEY}")
