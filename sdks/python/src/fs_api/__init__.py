# Copyright 2024 Function Stream Org.
# SPDX-License-Identifier: Apache-2.0

"""The names of the second generation's Python functions, on the SDK of :mod:`functionstream`.

New functions are better written on that package; classes that derive from :class:`FSProcessorDriver` run as they are.
"""

from dataclasses import dataclass

import functionstream
from functionstream.errors import FunctionError


class KvError(Exception):
    """A store refused something."""


class KvNotFoundError(KvError):
    """There is no such key."""


class KvIOError(KvError):
    """The store could not be read or written."""


class KvOtherError(KvError):
    """Anything else."""


KvError.NotFound, KvError.Io, KvError.Other = KvNotFoundError, KvIOError, KvOtherError


@dataclass(frozen=True)
class ComplexKey:
    """A key of four parts."""

    key_group: bytes = b""
    key: bytes = b""
    namespace: bytes = b""
    user_key: bytes = b""


class KvIterator:
    """Pairs, one after the other."""

    def __init__(self, pairs):
        self._pairs = iter(pairs)
        self._next = None

    def has_next(self):
        """Reports whether there is another pair."""
        if self._next is None:
            self._next = next(self._pairs, None)
        return self._next is not None

    def next(self):
        """Returns the next pair, or None."""
        pair = self._next if self._next is not None else next(self._pairs, None)
        self._next = None
        return pair

    def __iter__(self):
        while self.has_next():
            yield self.next()


class KvStore:
    """A store, by the names of the second generation."""

    def __init__(self, store):
        self._store = store

    def put_state(self, key, value):
        """Stores the value of a simple key."""
        self._store.put(key, value)

    def get_state(self, key):
        """Returns the value of a simple key, or None."""
        return self._store.get(key)

    def delete_state(self, key):
        """Removes a simple key."""
        self._store.delete(key)

    def list_states(self, start_inclusive, end_exclusive):
        """Returns the simple keys of a range."""
        return list(self._store.keys(start_inclusive, end_exclusive))

    def put(self, key, value):
        """Stores the value of a complex key."""
        self._part(key).put(key.user_key, value)

    def get(self, key):
        """Returns the value of a complex key, or None."""
        return self._part(key).get(key.user_key)

    def delete(self, key):
        """Removes a complex key."""
        self._part(key).delete(key.user_key)

    def merge(self, key, value):
        """Appends to the value of a complex key."""
        self._part(key).merge(key.user_key, value)

    def delete_prefix(self, key):
        """Removes the complex keys that begin with this one."""
        self._part(key).delete_prefix(key.user_key)

    def list_complex(self, key_group, key, namespace, start_inclusive, end_exclusive):
        """Returns the user keys of a range."""
        return list(self._store.part(key_group, key, namespace).keys(start_inclusive, end_exclusive))

    def scan_complex(self, key_group, key, namespace):
        """Returns the pairs of user keys and values."""
        return KvIterator(self._store.part(key_group, key, namespace).scan())

    def _part(self, key):
        return self._store.part(key.key_group, key.key, key.namespace)


class Context:
    """What a driver is given."""

    def __init__(self, ctx):
        self._ctx = ctx
        self._stores = {}

    def emit(self, data, channel=0):
        """Emits a value to the output with that index."""
        self._ctx.emit(data, channel)

    def emit_watermark(self, watermark, channel=0):
        """Promises an output that no older record will follow."""
        self._ctx.emit_watermark(watermark, channel)

    def getOrCreateKVStore(self, name):
        """Opens the store of that name."""
        store = self._stores.get(name)
        if store is None:
            try:
                store = self._stores[name] = KvStore(self._ctx.store(name))
            except FunctionError as error:
                raise KvOtherError(str(error)) from None
        return store

    def getConfig(self):
        """Returns the function's configuration."""
        return dict(self._ctx.config)


class FSProcessorDriver(functionstream.Function):
    """A function by the names of the second generation. Only ``process`` must be there."""

    def init(self, ctx, config):
        """Called once, before anything else."""

    def process(self, ctx, source_id, data):
        """Processes a value. What it returns is not looked at."""
        raise NotImplementedError(f"{type(self).__name__} does not define 'process'")

    def process_watermark(self, ctx, source_id, watermark):
        """No input is expected to bring an older record."""

    def take_checkpoint(self, ctx, checkpoint_id):
        """The end of an epoch."""

    def check_heartbeat(self, ctx):
        """Returns whether the function is well."""
        return True

    def close(self, ctx):
        """The last call."""

    def custom(self, payload):
        """Answers a request."""
        return payload

    @classmethod
    def _functionstream(cls):
        return _Driver(cls())


class _Driver(functionstream.Function):
    """Calls a driver by its own names."""

    def __init__(self, driver):
        self.driver = driver
        self._ctx = None

    def init(self, ctx):
        self._ctx = Context(ctx)
        self.driver.init(self._ctx, self._ctx.getConfig())

    def process(self, ctx, record):
        # The second generation knew no null values: it skipped them before a function saw them.
        if record.value is not None:
            self.driver.process(self._ctx, record.source, record.value)

    def process_watermark(self, ctx, source, watermark):
        self.driver.process_watermark(self._ctx, source, watermark)

    def take_checkpoint(self, ctx, checkpoint):
        self.driver.take_checkpoint(self._ctx, checkpoint)

    def check_heartbeat(self, ctx):
        # A driver that derives from nothing of ours may answer nothing.
        return self.driver.check_heartbeat(self._ctx) is not False

    def close(self, ctx):
        self.driver.close(self._ctx)

    def custom(self, ctx, payload):
        answer = self.driver.custom(payload)
        return b"" if answer is None else answer


def __getattr__(name):
    # The states were here once.
    import fs_api_advanced

    if name in fs_api_advanced.__all__:
        return getattr(fs_api_advanced, name)
    raise AttributeError(f"module 'fs_api' has no attribute '{name}'")


__all__ = [
    "ComplexKey",
    "Context",
    "FSProcessorDriver",
    "KvError",
    "KvIOError",
    "KvIterator",
    "KvNotFoundError",
    "KvOtherError",
    "KvStore",
]
