# Copyright 2024 Function Stream Org.
# SPDX-License-Identifier: Apache-2.0

"""What a function reaches while it is called."""

from __future__ import annotations

from typing import Any

from . import frame, jsons
from .cache import CachedStore
from .errors import BatchError, FunctionError
from .store import Store, as_bytes

# Bytes of emitted records after which they are passed on in the middle of a batch.
_MOST_BYTES = 1 << 20


class Metadata:
    """Facts about the function and its task."""

    def __init__(self, name: str, revision: int, task_index: int, outputs: list[str]):
        self.name = name
        self.revision = revision
        self.task_index = task_index
        self.outputs = list(outputs)


class Context:
    """Emits records, opens stores and states, and sets timers."""

    def __init__(self, host, metadata, config):
        self._host = host
        #: Facts about the function and its task.
        self.metadata = metadata
        #: The function's own configuration, a dict of text.
        self.config = dict(config)
        self._outputs = len(metadata.outputs)
        self._timestamp = 0
        self._emitted = []
        self._emitted_bytes = 0
        self._emitted_before = 0
        # The number of the record in process, and that of the one of which the host has something already.
        self._turn = 0
        self._passed_on = None
        # Why the host refused what was emitted. It is lost, so the instance is of no use afterwards.
        self._refused = None
        self._stores = {}

    def emit(
        self,
        value: bytes | str | None,
        output: int = 0,
        *,
        key: bytes | str | None = None,
        headers: Any = (),
        timestamp: int | None = None,
    ) -> None:
        """Emits a record to the output with that index.

        The value is bytes, text, or None for a null value. Without a timestamp the record has the time of the one in process.
        """
        if output.__class__ is not int or not 0 <= output < self._outputs:
            raise FunctionError(f"emitted to output {output}, but the function has {self._outputs}")
        length = 28
        if value is not None:
            if value.__class__ is not bytes:
                value = as_bytes(value, "an emitted value")
            length += len(value)
        if key is not None:
            if key.__class__ is not bytes:
                key = as_bytes(key, "a record's key")
            length += len(key)
        encoded = b""
        if headers:
            encoded = frame.write_headers(headers.items() if isinstance(headers, dict) else headers)
            length += len(encoded)
        self._emitted_bytes += length
        if self._emitted_bytes > _MOST_BYTES and self._emitted:
            self._flush_emitted()
            self._emitted_bytes = length
        self._emitted.append((self._timestamp if timestamp is None else timestamp, output, key, encoded, value))

    def emit_json(
        self,
        value: Any,
        output: int = 0,
        *,
        key: bytes | str | None = None,
        headers: Any = (),
        timestamp: int | None = None,
    ) -> None:
        """Emits a value as JSON."""
        self.emit(jsons.write(value), output, key=key, headers=headers, timestamp=timestamp)

    def emit_watermark(self, watermark: int, output: int = 0) -> None:
        """Promises an output that no record older than the watermark (milliseconds since the Unix epoch) will follow."""
        # Records that were emitted before it may be older.
        self._flush_emitted()
        self._passed_on = self._turn
        self._host.emit_watermark(output, watermark)

    def set_timer(self, domain: int, key: bytes | str, at: int) -> None:
        """Sets the timer with that domain and key to a time in milliseconds since the Unix epoch, or moves it there.

        ``on_timer`` is called once when it is due. If the time has come already, that is as soon as the call is over. Timers
        belong to the epoch, like state: a timer that a failed call sets is not set.
        """
        self._passed_on = self._turn
        self._host.set_timer(domain, as_bytes(key, "a timer's key"), at)

    def delete_timer(self, domain: int, key: bytes | str) -> None:
        """Deletes a timer. Does nothing if the timer is not set."""
        self._passed_on = self._turn
        self._host.delete_timer(domain, as_bytes(key, "a timer's key"))

    def store(self, name: str) -> Store:
        """Opens the store of the task with that name, which must be 1 to 255 bytes. A name always gives the same store."""
        store = self._stores.get(name)
        if store is None:
            store = Store(CachedStore(self, self._host.open(name)))
            self._stores[name] = store
        return store

    def _begin(self, timestamp):
        """A record begins: what is emitted for it has its time."""
        self._timestamp = timestamp
        self._emitted_before = len(self._emitted)
        self._turn += 1

    def _undo(self):
        """Takes back what the record in process did, and passes on what those before it did. False if that cannot be done."""
        if self._passed_on == self._turn:
            return False
        for store in self._stores.values():
            if not store._cached.undo():
                return False
        del self._emitted[self._emitted_before :]
        try:
            self._finish()
        except Exception:
            return False
        return True

    def _finish(self):
        """A call ends: everything that it did is passed on."""
        self._flush_emitted()
        for store in self._stores.values():
            store._cached.flush()

    def _flush_emitted(self):
        if self._refused is not None:
            raise BatchError(self._refused)
        if not self._emitted:
            return
        if len(self._emitted) > self._emitted_before:
            self._passed_on = self._turn
        self._emitted_before = 0
        packed = frame.build(self._emitted)
        self._emitted = []
        self._emitted_bytes = 0
        try:
            self._host.emit_frame(packed)
        except Exception as error:
            self._refused = str(error)
            raise BatchError(self._refused) from None
