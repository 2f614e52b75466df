# Copyright 2024 Function Stream Org.
# SPDX-License-Identifier: Apache-2.0

"""Typed states: a value, a list, a map, a priority queue, an aggregate, a reduction.

Each is made in ``init``, from the context, the name of a store, and the types of what it keeps::

    self.total = ValueState(ctx, "total", int)
    self.counts = MapState(ctx, "counts", str, int)

A store has one state of each kind. For a state for each of many keys, make a factory, and ask it for the state of a key and,
if you like, a namespace::

    self.clicks = ListState.keyed(ctx, "clicks", str, group=b"by-user")
    # in process:
    self.clicks(user, session).add(page)

Where a type is asked for, a codec of :mod:`functionstream.codecs` may be given.
"""

from .codecs import codec_of, fixed_size, is_ordered
from .store import as_bytes


class _State:
    """A state at its place, a part of a store."""

    _kind = b""

    def __init__(self, ctx, store, *types):
        self._place = ctx.store(store).part(b"", self._kind, b"")
        self._made(*types)

    def _made(self, *types):
        raise NotImplementedError

    @classmethod
    def keyed(cls, ctx, store, *types, group=b""):
        """Returns a factory: called with a key, and a namespace if need be, it gives the state of these."""
        return Keyed(cls, ctx.store(store), group, types)

    @classmethod
    def _at(cls, place, *types):
        state = cls.__new__(cls)
        state._place = place
        state._made(*types)
        return state


class Keyed:
    """Gives the states of keys. That costs next to nothing: ask it for each record."""

    def __init__(self, state, store, group, types):
        self._state, self._store, self._group, self._types = state, store, as_bytes(group, "a key group"), types
        # Whatever is wrong with the types is said now.
        state._at(store, *types)

    def __call__(self, key, namespace=b""):
        namespace = self._state._kind + as_bytes(namespace, "a namespace")
        return self._state._at(self._store.part(self._group, key, namespace), *self._types)


class ValueState(_State):
    """One value."""

    _kind = b"v"

    def _made(self, kind):
        self._codec = codec_of(kind)

    def get(self, default=None):
        """Returns the value, or the default if there is none."""
        data = self._place.get(b"")
        return default if data is None else self._codec.decode(data)

    def set(self, value):
        """Stores the value."""
        self._place.put(b"", self._codec.encode(value))

    def clear(self):
        """Removes the value."""
        self._place.delete(b"")


class ListState(_State):
    """A list, kept as one value. Adding appends without reading."""

    _kind = b"l"

    def _made(self, kind):
        self._codec = codec_of(kind)
        self._size = fixed_size(self._codec)

    def add(self, *values):
        """Appends values."""
        data = self._encode(values)
        if data:
            self._place.merge(b"", data)

    def get(self):
        """Returns all of it."""
        data, values, at = self._place.get(b"") or b"", [], 0
        while at < len(data):
            size = self._size
            if size is None:
                size = int.from_bytes(data[at : at + 4], "big") if at + 4 <= len(data) else len(data)
                at += 4
            if at + size > len(data):
                raise ValueError("the stored bytes are no list of these elements")
            values.append(self._codec.decode(data[at : at + size]))
            at += size
        return values

    def set(self, values):
        """Replaces all of it."""
        data = self._encode(values)
        if data:
            self._place.put(b"", data)
        else:
            self.clear()

    def clear(self):
        """Removes all of it."""
        self._place.delete(b"")

    def _encode(self, values):
        parts = []
        for value in values:
            data = self._codec.encode(value)
            if self._size is None:
                parts.append(len(data).to_bytes(4, "big"))
            elif len(data) != self._size:
                raise ValueError(f"an element has {len(data)} bytes, not {self._size}")
            parts.append(data)
        return b"".join(parts)


class MapState(_State):
    """A map, whose entries are kept one by one, in the order of their encoded keys."""

    _kind = b"m"

    def _made(self, key, value):
        self._keys, self._values = codec_of(key), codec_of(value)

    def get(self, key, default=None):
        """Returns the value of a key, or the default if it has none."""
        data = self._place.get(self._keys.encode(key))
        return default if data is None else self._values.decode(data)

    def put(self, key, value):
        """Stores the value of a key."""
        self._place.put(self._keys.encode(key), self._values.encode(value))

    def delete(self, key):
        """Removes a key."""
        self._place.delete(self._keys.encode(key))

    def items(self):
        """Yields the keys with their values."""
        for key, value in self._place.scan():
            yield self._keys.decode(key), self._values.decode(value)

    def keys(self):
        """Yields the keys."""
        return (self._keys.decode(key) for key, _ in self._place.scan())

    def __contains__(self, key):
        return self._place.get(self._keys.encode(key)) is not None

    __getitem__ = get
    __setitem__ = put
    __delitem__ = delete

    def clear(self):
        """Removes all entries."""
        self._place.delete_prefix(b"")


class PriorityQueueState(_State):
    """A set of values, the least of which comes first. Its type must have an order: a number, text, bytes or bool."""

    _kind = b"q"

    def _made(self, kind):
        self._codec = codec_of(kind)
        if not is_ordered(self._codec):
            raise TypeError(f"a priority queue needs a codec with an order, which {type(self._codec).__name__} has not")

    def add(self, value):
        """Adds a value. Adding it twice has no effect."""
        self._place.put(self._codec.encode(value), b"")

    def peek(self, default=None):
        """Returns the least value, or the default if there is none."""
        for key, _ in self._place.scan():
            return self._codec.decode(key)
        return default

    def poll(self, default=None):
        """Removes and returns the least value, or returns the default if there is none."""
        for key, _ in self._place.scan():
            self._place.delete(key)
            return self._codec.decode(key)
        return default

    def __iter__(self):
        return (self._codec.decode(key) for key, _ in self._place.scan())

    def clear(self):
        """Removes all values."""
        self._place.delete_prefix(b"")


class Aggregate:
    """How values are gathered into an accumulator, and what it stands for."""

    def create(self):
        """Returns the accumulator of no values."""
        raise NotImplementedError

    def add(self, value, accumulator):
        """Returns the accumulator with a value added."""
        raise NotImplementedError

    def result(self, accumulator):
        """Returns what the accumulator stands for."""
        return accumulator

    def merge(self, a, b):
        """Returns the accumulator of the values of both. Only states that are merged need it."""
        raise NotImplementedError(f"{type(self).__name__} does not define 'merge'")


class AggregatingState(_State):
    """An aggregate of values, of which only the accumulator is kept. Types: that of the accumulator, and an Aggregate."""

    _kind = b"a"

    def _made(self, kind, aggregate):
        if aggregate is None:
            raise TypeError("an aggregating state needs its aggregate")
        self._codec, self._aggregate = codec_of(kind), aggregate

    def add(self, value):
        """Adds a value."""
        data = self._place.get(b"")
        accumulator = self._aggregate.create() if data is None else self._codec.decode(data)
        self._place.put(b"", self._codec.encode(self._aggregate.add(value, accumulator)))

    def get(self, default=None):
        """Returns the result, or the default if nothing was added."""
        data = self._place.get(b"")
        return default if data is None else self._aggregate.result(self._codec.decode(data))

    def merge(self, other):
        """Adds the values of another state of the same aggregate, which keeps them."""
        theirs = other._place.get(b"")
        if theirs is None:
            return
        ours = self._place.get(b"")
        if ours is not None:
            merged = self._aggregate.merge(self._codec.decode(ours), other._codec.decode(theirs))
            theirs = self._codec.encode(merged)
        self._place.put(b"", theirs)

    def clear(self):
        """Removes the accumulator."""
        self._place.delete(b"")


class ReducingState(_State):
    """Values reduced to one. Types: that of the values, and a function of the value so far and the next one."""

    _kind = b"r"

    def _made(self, kind, reduce):
        if reduce is None:
            raise TypeError("a reducing state needs its function")
        self._codec, self._reduce = codec_of(kind), reduce

    def add(self, value):
        """Adds a value. The first one is the result itself."""
        data = self._place.get(b"")
        if data is not None:
            value = self._reduce(self._codec.decode(data), value)
        self._place.put(b"", self._codec.encode(value))

    def get(self, default=None):
        """Returns the value, or the default if nothing was added."""
        data = self._place.get(b"")
        return default if data is None else self._codec.decode(data)

    def clear(self):
        """Removes the value."""
        self._place.delete(b"")
