# Copyright 2024 Function Stream Org.
# SPDX-License-Identifier: Apache-2.0

"""What an instance knows of one store, so that hot keys cross the boundary once, not with every record.

A read is answered by what is known; else the host is asked, and its answer is known from then on. Writes are gathered, and go
to the host in one call at the end of each batch. What is known stays true as long as the instance lives: nobody else writes this
task's state, and when an epoch is aborted its instance is dropped.

What a record wrote can be taken back as long as it is among the gathered writes: they are cut, writes that were replaced are put
back, and nothing is known any more.
"""

from . import lists
from .errors import BatchError

# Bytes of writes after which they go to the host in the middle of a batch, and of what is known.
_MOST_WRITES = 1 << 20
_MOST_KNOWN = 8 << 20

# What a key takes beside its bytes.
_ENTRY = 100

# A known value that is longer is forgotten when something is appended to it.
_MOST_APPENDED = 4 << 10

_MISSING = object()


class CachedStore:
    """A store that is open."""

    def __init__(self, context, handle):
        self._context = context
        self._host = context._host
        self._handle = handle
        self._known = {}
        self._known_bytes = 0
        self._ops = []
        # Where the last write of a key is, if it may be replaced there.
        self._places = {}
        self._bytes = 0
        # Some of the writes are to keys that are not known: the host cannot be asked before it has them.
        self._unknown_writes = False
        # For scans: counts writes; from `since` on the furthest key that was written is known.
        self._version = 0
        self._since = 0
        self._furthest = b""
        # The record that wrote last, where its writes begin, what it replaced, and whether the host has some of it.
        self._turn = 0
        self._own = 0
        self._own_bytes = 0
        self._replaced = []
        self._passed_on = False

    def get(self, key):
        value = self._known.get(key, _MISSING)
        if value is not _MISSING:
            return value
        if self._unknown_writes:
            self.flush()
        value = self._host.get(self._handle, key)
        self._learn(key, value)
        return value

    def set(self, key, value):
        """Puts a value, or deletes the key if that is None."""
        self._changed(key)
        op = (lists.DELETE, key, b"") if value is None else (lists.PUT, key, value)
        place = self._places.get(key)
        if place is None:
            self._places[key] = len(self._ops)
            self._ops.append(op)
            self._bytes += len(key) + len(op[2]) + 9
        else:
            before = self._ops[place]
            if place < self._own:
                self._replaced.append((place, before))
            self._ops[place] = op
            self._bytes += len(op[2]) - len(before[2])
        self._learn(key, value)
        if self._bytes > _MOST_WRITES:
            self.flush()

    def merge(self, key, operand):
        self._changed(key)
        self._places.pop(key, None)
        self._ops.append((lists.MERGE, key, operand))
        self._bytes += len(key) + len(operand) + 9
        value = self._known.get(key, _MISSING)
        if value is _MISSING:
            self._unknown_writes = True
        elif value is not None and len(value) > _MOST_APPENDED:
            self._forget(key)
            self._unknown_writes = True
        else:
            self._learn(key, operand if value is None else value + operand)
        if self._bytes > _MOST_WRITES:
            self.flush()

    def delete_range(self, start, end):
        self._changed(end)
        self._places.clear()
        self._ops.append((lists.DELETE_RANGE, start, end))
        self._bytes += len(start) + len(end) + 9
        self._forget_all()
        self._unknown_writes = True
        if self._bytes > _MOST_WRITES:
            self.flush()

    def page(self, start, end, most_bytes):
        """Returns a page of a range, own writes included: its pairs, the start of the next, and the version for is_stale."""
        self.flush()
        pairs, following = self._host.scan(self._handle, start, end, most_bytes)
        if self._since != self._version:
            self._since = self._version
            self._furthest = b""
        return pairs, following, self._version

    def is_stale(self, version, start):
        """Reports whether a page that was read then may not be true any more for the keys from ``start`` on."""
        return version != self._version and (version < self._since or self._furthest >= start)

    def flush(self):
        """Passes all writes to the host."""
        if not self._ops:
            return
        if self._turn == self._context._turn and (len(self._ops) > self._own or self._replaced):
            self._passed_on = True
        ops = lists.write_ops(self._ops)
        self._clear_writes()
        try:
            self._host.write(self._handle, ops)
        except BatchError:
            raise
        except Exception as error:
            raise BatchError(str(error)) from None

    def undo(self):
        """Takes back what the record in process has written; returns False if the host has some of it."""
        if self._turn != self._context._turn:
            return True
        if self._passed_on:
            return False
        if len(self._ops) > self._own or self._replaced:
            del self._ops[self._own :]
            # A write may have been replaced more than once: the oldest comes last.
            for place, op in reversed(self._replaced):
                self._ops[place] = op
            self._replaced.clear()
            self._bytes = self._own_bytes
            self._places.clear()
            self._forget_all()
            self._unknown_writes = True
        return True

    def _clear_writes(self):
        self._ops = []
        self._places.clear()
        self._bytes = 0
        self._own = 0
        self._own_bytes = 0
        self._replaced.clear()
        self._unknown_writes = False

    def _changed(self, key):
        turn = self._context._turn
        if self._turn != turn:
            self._turn = turn
            self._own = len(self._ops)
            self._own_bytes = self._bytes
            self._replaced.clear()
            self._passed_on = False
        self._version += 1
        if key > self._furthest:
            self._furthest = key

    def _learn(self, key, value):
        known = self._known
        before = known.get(key, _MISSING)
        if before is _MISSING:
            self._known_bytes += len(key) + _ENTRY
        elif before is not None:
            self._known_bytes -= len(before)
        if value is not None:
            self._known_bytes += len(value)
        known[key] = value
        if self._known_bytes > _MOST_KNOWN:
            # What was learnt first goes first.
            for old in list(known)[: len(known) // 2]:
                self._forget(old)
                # Its write may still be on its way to the host.
                self._unknown_writes = self._unknown_writes or bool(self._ops)
            if self._known_bytes > _MOST_KNOWN:
                self._forget_all()
                self._unknown_writes = bool(self._ops)

    def _forget(self, key):
        value = self._known.pop(key)
        self._known_bytes -= len(key) + _ENTRY + len(value or b"")

    def _forget_all(self):
        self._known.clear()
        self._known_bytes = 0
