# Copyright 2024 Function Stream Org.
# SPDX-License-Identifier: Apache-2.0

"""What an instance knows of one store, so that hot keys cross the boundary once, not with every record.

A read is answered by what is known; else the host is asked, and its answer is known from then on. Writes are gathered, and go
to the host in one call at the end of each batch. What is known stays true as long as the instance lives: nobody else writes this
task's state, and when an epoch is aborted its instance is dropped.

What a record wrote can be taken back as long as it is among the gathered writes: they are cut, and nothing is known any more. So
each write is added behind the others, and those that a later one replaces are left out when the list goes to the host.
"""

from .errors import BatchError
from .lists import DELETE, DELETE_RANGE, MERGE, PUT, write_ops

# Bytes of writes after which they go to the host in the middle of a batch, and of what is known.
_MOST_WRITES = 1 << 20
_MOST_KNOWN = 8 << 20

# What a key takes beside its bytes.
_ENTRY = 100

# A known value that is longer is forgotten when something is appended to it.
_MOST_APPENDED = 4 << 10

# Stands for what is not known, whereas None is the value of a key that is known to be absent.
MISSING = object()


class CachedStore:
    """A store that is open."""

    def __init__(self, context, handle):
        self._context = context
        self._host = context._host
        self._handle = handle
        #: The values of the keys that are known. It is read by stores, and stays the same dict.
        self.known = {}
        self._known_bytes = 0
        # Each with the number of the record that wrote it.
        self._ops = []
        self._bytes = 0
        # Some of the writes are to keys that are not known: the host cannot be asked before it has them.
        self._unknown_writes = False
        # For scans, from the first one on: counts writes; from `since` on the furthest key that was written is known.
        self._is_scanned = False
        self._version = 0
        self._since = 0
        self._furthest = b""
        # The record of whose writes the host has some.
        self._passed_on = None

    def get(self, key):
        value = self.known.get(key, MISSING)
        if value is not MISSING:
            return value
        if self._unknown_writes:
            self.flush()
        value = self._host.get(self._handle, key)
        self._learn(key, value)
        return value

    def set(self, key, value):
        """Puts a value, or deletes the key if that is None."""
        # What _learn does is written out here: in Python a call costs as much as all the rest.
        if self._is_scanned:
            self._note(key)
        if value is None:
            size = 0
            self._ops.append((DELETE, key, b"", self._context._turn))
        else:
            size = len(value)
            self._ops.append((PUT, key, value, self._context._turn))
        self._bytes += len(key) + size + 9
        known = self.known
        before = known.get(key, MISSING)
        known[key] = value
        if before is MISSING:
            size += len(key) + _ENTRY
        elif before is not None:
            size -= len(before)
        if size:
            self._known_bytes += size
            if self._known_bytes > _MOST_KNOWN:
                self._forget_some()
        if self._bytes > _MOST_WRITES:
            self.flush()

    def merge(self, key, operand):
        if self._is_scanned:
            self._note(key)
        self._ops.append((MERGE, key, operand, self._context._turn))
        self._bytes += len(key) + len(operand) + 9
        value = self.known.get(key, MISSING)
        if value is MISSING:
            self._unknown_writes = True
        elif value is not None and len(value) > _MOST_APPENDED:
            self._forget(key)
            self._unknown_writes = True
        else:
            self._learn(key, operand if value is None else value + operand)
        if self._bytes > _MOST_WRITES:
            self.flush()

    def delete_range(self, start, end):
        if self._is_scanned:
            self._note(end)
        self._ops.append((DELETE_RANGE, start, end, self._context._turn))
        self._bytes += len(start) + len(end) + 9
        self._forget_all()
        self._unknown_writes = True
        if self._bytes > _MOST_WRITES:
            self.flush()

    def page(self, start, end, most_bytes):
        """Returns a page of a range, own writes included: its pairs, the start of the next, and the version for is_stale."""
        self.flush()
        self._is_scanned = True
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
        turn = self._context._turn
        if self._ops[-1][3] == turn:
            self._passed_on = turn
        ops = write_ops(_without_replaced(self._ops))
        self._ops = []
        self._bytes = 0
        self._unknown_writes = False
        try:
            self._host.write(self._handle, ops)
        except BatchError:
            raise
        except Exception as error:
            raise BatchError(str(error)) from None

    def undo(self):
        """Takes back what the record in process has written; returns False if the host has some of it."""
        turn = self._context._turn
        if self._passed_on == turn:
            return False
        ops = self._ops
        if ops and ops[-1][3] == turn:
            while ops and ops[-1][3] == turn:
                _, key, value, _ = ops.pop()
                self._bytes -= len(key) + len(value) + 9
            self._forget_all()
            self._unknown_writes = True
        return True

    def _note(self, key):
        """Notes for scans that a key was written."""
        self._version += 1
        if key > self._furthest:
            self._furthest = key

    def _learn(self, key, value):
        known = self.known
        before = known.get(key, MISSING)
        if before is MISSING:
            self._known_bytes += len(key) + _ENTRY
        elif before is not None:
            self._known_bytes -= len(before)
        if value is not None:
            self._known_bytes += len(value)
        known[key] = value
        if self._known_bytes > _MOST_KNOWN:
            self._forget_some()

    def _forget_some(self):
        """What was learnt first goes first."""
        for old in list(self.known)[: len(self.known) // 2]:
            self._forget(old)
            # Its write may still be on its way to the host.
            self._unknown_writes = self._unknown_writes or bool(self._ops)
        if self._known_bytes > _MOST_KNOWN:
            self._forget_all()
            self._unknown_writes = bool(self._ops)

    def _forget(self, key):
        value = self.known.pop(key)
        self._known_bytes -= len(key) + _ENTRY + len(value or b"")

    def _forget_all(self):
        self.known.clear()
        self._known_bytes = 0


def _without_replaced(ops):
    """Returns writes without those that a later one of the same key replaces. Only puts and deletions are told apart by key alone."""
    last = {op[1]: op for op in ops}
    if len(last) == len(ops):
        return ops
    if all(op[0] <= DELETE for op in ops):
        return list(last.values())
    kept, places = [], {}
    for op in ops:
        kind, key = op[:2]
        if kind <= DELETE:
            place = places.setdefault(key, len(kept))
            if place < len(kept):
                kept[place] = op
                continue
        elif kind == MERGE:
            places.pop(key, None)
        else:
            places.clear()
        kept.append(op)
    return kept
