# Copyright 2024 Function Stream Org.
# SPDX-License-Identifier: Apache-2.0

"""What comes in and what goes out: records, outputs and timers."""

from __future__ import annotations

from typing import Any

from . import frame as _frame
from . import jsons as _jsons

#: The domain of timers that follow the function's watermark.
EVENT_TIME = 0

#: The domain of timers that follow the machine's clock.
PROCESSING_TIME = 1


class Record:
    """An event that the function is given.

    ``value`` is None for a null value, which is not the same as an empty one; ``key`` is None if there is no key.
    ``timestamp`` is in milliseconds since the Unix epoch, and ``source`` is the index of the input group.
    """

    __slots__ = ("_headers", "key", "source", "timestamp", "value")

    def __init__(self, value: bytes | None, key: bytes | None = None, timestamp: int = 0, source: int = 0, headers: Any = ()):
        self.value = value
        self.key = key
        self.timestamp = timestamp
        self.source = source
        self._headers = headers

    @property
    def headers(self) -> list[tuple[str, bytes]]:
        """The headers, as a list of (name, value) in their order. Names may repeat."""
        if isinstance(self._headers, (bytes, memoryview)):
            self._headers = _frame.read_headers(self._headers)
        return list(self._headers)

    def header(self, name: str) -> bytes | None:
        """Returns the value of the first header of that name, or None."""
        return next((value for known, value in self.headers if known == name), None)

    @property
    def text(self) -> str:
        """The value as text, in UTF-8. A null value has none: that is an error."""
        return self._bytes().decode()

    def json(self) -> Any:
        """Returns the value, read as JSON. A null value has none: that is an error."""
        return _jsons.read(self._bytes())

    def _bytes(self):
        if self.value is None:
            raise ValueError("the record's value is null")
        return self.value

    def __repr__(self):
        return f"Record(value={self.value!r}, key={self.key!r}, timestamp={self.timestamp}, source={self.source})"


class Output:
    """A record to emit, for functions that return more than a value.

    Without a ``timestamp`` it has the time of the record in process.
    """

    __slots__ = ("headers", "key", "output", "timestamp", "value")

    def __init__(
        self,
        value: bytes | str | None,
        output: int = 0,
        *,
        key: bytes | str | None = None,
        headers: Any = (),
        timestamp: int | None = None,
    ):
        self.value = value
        self.output = output
        self.key = key
        self.headers = headers
        self.timestamp = timestamp

    def __repr__(self):
        return f"Output(value={self.value!r}, output={self.output}, key={self.key!r}, timestamp={self.timestamp})"


class Timer:
    """A timer that is due: its domain, its key, and the time for which it was set."""

    __slots__ = ("at", "domain", "key")

    def __init__(self, domain: int, key: bytes, at: int):
        self.domain = domain
        self.key = key
        self.at = at

    def __repr__(self):
        domain = ("EVENT_TIME", "PROCESSING_TIME")[self.domain]
        return f"Timer({domain}, {self.key!r}, {self.at})"
