# Copyright 2024 Function Stream Org.
# SPDX-License-Identifier: Apache-2.0

"""The second generation's names of the states, which are those of :mod:`functionstream.states`.

They answer as those did: ``value``, ``peek``, ``poll`` and the like return a pair of the value and whether there is one.
"""

from dataclasses import dataclass
from typing import Any

from functionstream import states
from functionstream.codecs import (
    BoolCodec,
    BytesCodec,
    Codec,
    FloatCodec,
    IntCodec,
    JsonCodec,
    PickleCodec,
    StringCodec,
    codec_of,
    is_ordered,
)

from fs_api import KvError

_NONE = object()


@dataclass
class MapEntry:
    """A key with its value."""

    key: Any
    value: Any


class AggregateFunc:
    """How values are gathered into an accumulator."""

    def create_accumulator(self):
        """Returns the accumulator of no values."""
        raise NotImplementedError

    def add(self, value, accumulator):
        """Returns the accumulator with a value added."""
        raise NotImplementedError

    def get_result(self, accumulator):
        """Returns what the accumulator stands for."""
        raise NotImplementedError

    def merge(self, a, b):
        """Returns the accumulator of the values of both."""
        raise NotImplementedError


#: A function of the value so far and the next one.
ReduceFunc = Any


class _Aggregate(states.Aggregate):
    def __init__(self, function):
        self._function = function

    def create(self):
        return self._function.create_accumulator()

    def add(self, value, accumulator):
        return self._function.add(value, accumulator)

    def result(self, accumulator):
        return self._function.get_result(accumulator)

    def merge(self, a, b):
        return self._function.merge(a, b)


def default_codec_for(value_type):
    """Returns the codec of a type."""
    return codec_of(value_type)


def infer_ordered_key_codec(key_type):
    """Returns the codec of a type, whose bytes must be in the order of its values."""
    codec = codec_of(key_type)
    if not is_ordered(codec):
        raise KvError(f"keys of the type '{getattr(key_type, '__name__', key_type)}' have no order")
    return codec


def _pair(value):
    return (None, False) if value is _NONE else (value, True)


def _store(ctx, name):
    store = ctx.getOrCreateKVStore(name) if hasattr(ctx, "getOrCreateKVStore") else ctx.store(name)
    return getattr(store, "_store", store)


def _codec(codec):
    if codec is None:
        raise KvError("a state needs a codec")
    return codec


class _Old:
    """A state of ours, by its old names."""

    _of = None

    def __init__(self, state):
        self._state = state

    @classmethod
    def _single(cls, ctx, store_name, *types):
        try:
            place = _store(ctx, store_name).part(b"", cls._of._kind, b"")
            return cls(cls._of._at(place, *types))
        except TypeError as error:
            raise KvError(str(error)) from None

    def clear(self):
        """Removes all of it."""
        self._state.clear()


class ValueState(_Old):
    """One value."""

    _of = states.ValueState

    @classmethod
    def from_context(cls, ctx, store_name, codec):
        """Returns the state of a store."""
        return cls._single(ctx, store_name, _codec(codec))

    @classmethod
    def from_context_auto_codec(cls, ctx, store_name, value_type=None):
        """Returns the state of a store, with the codec of the type, or pickle."""
        return cls._single(ctx, store_name, codec_of(value_type))

    def update(self, value):
        """Stores the value."""
        self._state.set(value)

    def value(self):
        """Returns the value, and whether there is one."""
        return _pair(self._state.get(_NONE))


class ListState(_Old):
    """A list."""

    _of = states.ListState
    from_context = ValueState.__dict__["from_context"]
    from_context_auto_codec = ValueState.__dict__["from_context_auto_codec"]

    def add(self, value):
        """Appends a value."""
        self._state.add(value)

    def add_all(self, values):
        """Appends values."""
        self._state.add(*values)

    def get(self):
        """Returns all of it."""
        return self._state.get()

    def update(self, values):
        """Replaces all of it."""
        self._state.set(values)


class MapState(_Old):
    """A map. ``get`` returns the value, or None."""

    _of = states.MapState

    @classmethod
    def from_context(cls, ctx, store_name, key_codec, value_codec):
        """Returns the state of a store."""
        return cls._single(ctx, store_name, _codec(key_codec), _codec(value_codec))

    @classmethod
    def from_context_auto_key_codec(cls, ctx, store_name, value_codec):
        """Returns the state of a store whose keys are bytes."""
        return cls._single(ctx, store_name, BytesCodec(), _codec(value_codec))

    @classmethod
    def from_context_auto_codec(cls, ctx, store_name, key_type=bytes, value_type=None):
        """Returns the state of a store, with the codecs of the types."""
        return cls._single(ctx, store_name, codec_of(key_type), codec_of(value_type))

    def put(self, key, value):
        """Stores the value of a key."""
        self._state.put(key, value)

    def get(self, key):
        """Returns the value of a key, or None."""
        return self._state.get(key)

    def delete(self, key):
        """Removes a key."""
        self._state.delete(key)

    def all(self):
        """Yields the keys with their values."""
        return self._state.items()


class KeyedMapState(MapState):
    """The map of a key. ``get`` returns the value, and whether there is one."""

    def get(self, key):
        """Returns the value of a key, and whether there is one."""
        return _pair(self._state.get(key, _NONE))


class PriorityQueueState(_Old):
    """A set of values, the least of which comes first."""

    _of = states.PriorityQueueState
    from_context = ValueState.__dict__["from_context"]

    @classmethod
    def from_context_auto_codec(cls, ctx, store_name, item_type=int):
        """Returns the state of a store, with the codec of the type."""
        return cls._single(ctx, store_name, codec_of(item_type))

    def add(self, value):
        """Adds a value."""
        self._state.add(value)

    def peek(self):
        """Returns the least value, and whether there is one."""
        return _pair(self._state.peek(_NONE))

    def poll(self):
        """Removes and returns the least value, and whether there was one."""
        return _pair(self._state.poll(_NONE))

    def all(self):
        """Yields the values in their order."""
        return iter(self._state)


class AggregatingState(_Old):
    """An aggregate of values."""

    _of = states.AggregatingState

    @classmethod
    def from_context(cls, ctx, store_name, acc_codec, agg_func):
        """Returns the state of a store."""
        return cls._single(ctx, store_name, _codec(acc_codec), agg_func and _Aggregate(agg_func))

    @classmethod
    def from_context_auto_codec(cls, ctx, store_name, agg_func, acc_type=None):
        """Returns the state of a store, with the codec of the accumulator's type, or pickle."""
        return cls._single(ctx, store_name, codec_of(acc_type), agg_func and _Aggregate(agg_func))

    def add(self, value):
        """Adds a value."""
        self._state.add(value)

    def get(self):
        """Returns the result, and whether there is one."""
        return _pair(self._state.get(_NONE))


class ReducingState(AggregatingState):
    """Values reduced to one."""

    _of = states.ReducingState

    @classmethod
    def from_context(cls, ctx, store_name, value_codec, reduce_func):
        """Returns the state of a store."""
        return cls._single(ctx, store_name, _codec(value_codec), reduce_func)

    @classmethod
    def from_context_auto_codec(cls, ctx, store_name, reduce_func, value_type=None):
        """Returns the state of a store, with the codec of the type, or pickle."""
        return cls._single(ctx, store_name, codec_of(value_type), reduce_func)


KeyedValueState = ValueState
KeyedListState = ListState
KeyedPriorityQueueState = PriorityQueueState
KeyedAggregatingState = AggregatingState
KeyedReducingState = ReducingState


class _Factory:
    """Gives the states of keys.

    The key group comes after the name of the store. A namespace may come before it: it is then that of all states.
    """

    _gives = None
    _default = None

    def __init__(self, store, group, namespace, types):
        self._namespace = namespace
        try:
            self._factory = states.Keyed(self._gives._of, store, group, types)
        except TypeError as error:
            raise KvError(str(error)) from None

    @classmethod
    def from_context(cls, ctx, store_name, *rest, **named):
        """Returns the factory of a store, a key group, and codecs."""
        group, namespace, rest = cls._place(list(rest), named)
        rest += [value for value in named.values() if value is not None]
        return cls(_store(ctx, store_name), group, namespace, cls._types([_codec(value) for value in rest]))

    @classmethod
    def from_context_auto_codec(cls, ctx, store_name, *rest, **named):
        """Returns the factory of a store and a key group, with the codecs of the types."""
        group, namespace, rest = cls._place(list(rest), named)
        return cls(_store(ctx, store_name), group, namespace, cls._auto(rest, named))

    @staticmethod
    def _place(rest, named):
        group, namespace = named.pop("key_group", None), named.pop("namespace", None)
        places = []
        while rest and isinstance(rest[0], (bytes, bytearray)):
            places.append(rest.pop(0))
        if group is None:
            if not places:
                raise KvError("a keyed state needs its key group")
            group = places.pop()
        if places:
            namespace = places.pop()
        return group, namespace, rest

    @classmethod
    def _types(cls, types):
        return types

    @classmethod
    def _auto(cls, rest, named):
        kind = next(iter([*rest, *named.values()]), None)
        return [codec_of(cls._default if kind is None else kind)]

    def _new(self, primary_key, namespace=None):
        if primary_key is None:
            raise KvError("a keyed state needs its primary key")
        if namespace is None:
            namespace = self._namespace or b""
        return self._gives(self._factory(primary_key, namespace))


class KeyedValueStateFactory(_Factory):
    """Gives the values of keys."""

    _gives = KeyedValueState
    new_keyed_value = _Factory._new


class KeyedListStateFactory(_Factory):
    """Gives the lists of keys."""

    _gives = KeyedListState
    new_keyed_list = _Factory._new


class KeyedMapStateFactory(_Factory):
    """Gives the maps of keys."""

    _gives = KeyedMapState
    new_keyed_map = _Factory._new

    @classmethod
    def _auto(cls, rest, named):
        kinds = [*rest, *named.values()]
        if len(kinds) == 1:
            # The codec of the values alone.
            return [BytesCodec(), codec_of(kinds[0])]
        key, value = [*kinds, None, None][:2]
        return [codec_of(bytes if key is None else key), codec_of(value)]


class KeyedPriorityQueueStateFactory(_Factory):
    """Gives the queues of keys."""

    _gives = KeyedPriorityQueueState
    _default = int
    new_keyed_priority_queue = _Factory._new


class KeyedAggregatingStateFactory(_Factory):
    """Gives the aggregates of keys."""

    _gives = KeyedAggregatingState
    new_aggregating_state = new_keyed_aggregating = _Factory._new

    @classmethod
    def _types(cls, types):
        codec, function = types
        return [codec, _Aggregate(function)]

    @classmethod
    def _auto(cls, rest, named):
        function, kind = [*rest, *named.values(), None][:2]
        return [codec_of(kind), function and _Aggregate(function)]


class KeyedReducingStateFactory(_Factory):
    """Gives the reductions of keys."""

    _gives = KeyedReducingState
    new_reducing_state = new_keyed_reducing = _Factory._new

    @classmethod
    def _auto(cls, rest, named):
        function, kind = [*rest, *named.values(), None][:2]
        return [codec_of(kind), function]


def create_map_state_auto_key_codec(store, key_type, value_codec):
    """Returns the map of a store, with the codec of the keys' type."""
    place = getattr(store, "_store", store).part(b"", states.MapState._kind, b"")
    return MapState(states.MapState._at(place, infer_ordered_key_codec(key_type), _codec(value_codec)))


__all__ = [
    "AggregateFunc",
    "AggregatingState",
    "BoolCodec",
    "BytesCodec",
    "Codec",
    "FloatCodec",
    "IntCodec",
    "JsonCodec",
    "KeyedAggregatingState",
    "KeyedAggregatingStateFactory",
    "KeyedListState",
    "KeyedListStateFactory",
    "KeyedMapState",
    "KeyedMapStateFactory",
    "KeyedPriorityQueueState",
    "KeyedPriorityQueueStateFactory",
    "KeyedReducingState",
    "KeyedReducingStateFactory",
    "KeyedValueState",
    "KeyedValueStateFactory",
    "ListState",
    "MapEntry",
    "MapState",
    "PickleCodec",
    "PriorityQueueState",
    "ReduceFunc",
    "ReducingState",
    "StringCodec",
    "ValueState",
    "create_map_state_auto_key_codec",
    "default_codec_for",
    "infer_ordered_key_codec",
]
