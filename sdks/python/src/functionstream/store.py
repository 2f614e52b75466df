# Copyright 2024 Function Stream Org.
# SPDX-License-Identifier: Apache-2.0

"""The keyed state of a task."""

from __future__ import annotations

from collections.abc import Iterator

from .cache import MISSING

_PAGE = 64 << 10
# The first page after a write ahead of the scan is smaller: a function that writes while it scans will do so again.
_FIRST_PAGE = 1 << 10


def as_bytes(value, what):
    """Returns bytes of bytes or of text, in UTF-8."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, (bytearray, memoryview)):
        return bytes(value)
    raise TypeError(f"{what} must be bytes or str, not {type(value).__name__}")


def _end_of(prefix):
    """Returns the first key after all that begin with the prefix. There is one: the first byte of every key is 0 or 1."""
    kept = prefix.rstrip(b"\xff")
    return kept[:-1] + bytes([kept[-1] + 1])


class Store:
    """An ordered map from bytes to bytes, or a part of one. Keys and values may be given as text, which is kept in UTF-8.

    Writes become durable together with the records that caused them, and a function reads its own writes. An absent key
    (None) is not the same as an empty value.
    """

    def __init__(self, cached, prefix=b"\x00"):
        self._cached = cached
        # A read that is answered by what is known makes no further call.
        self._known = cached.known
        self._prefix = prefix
        # The key that was read last, and what it is with the prefix: most keys that are read are written next.
        self._last = MISSING
        self._full = None

    def part(self, key_group: bytes | str, key: bytes | str, namespace: bytes | str) -> Store:
        """Returns the part of this store for a key group, a key and a namespace. It shares no key with any other."""
        prefix = b"\x01"
        for part in (key_group, key, namespace):
            part = as_bytes(part, "a part of a key")
            prefix += len(part).to_bytes(4, "big") + part
        return Store(self._cached, prefix)

    def get(self, key: bytes | str) -> bytes | None:
        """Returns the value of a key as bytes, or None if the key is absent."""
        if key is not self._last:
            self._full = self._prefix + (key if key.__class__ is bytes else as_bytes(key, "a key"))
            self._last = key if key.__class__ is bytes else MISSING
        value = self._known.get(self._full, MISSING)
        return self._cached.get(self._full) if value is MISSING else value

    def put(self, key: bytes | str, value: bytes | str) -> None:
        """Stores a value."""
        full = self._full if key is self._last else self._prefix + as_bytes(key, "a key")
        self._cached.set(full, value if value.__class__ is bytes else as_bytes(value, "a value"))

    def delete(self, key: bytes | str) -> None:
        """Removes a key. Does nothing if the key is absent."""
        self._cached.set(self._prefix + as_bytes(key, "a key"), None)

    def merge(self, key: bytes | str, operand: bytes | str) -> None:
        """Appends bytes to a key's value without reading it. An absent value counts as empty."""
        self._cached.merge(self._prefix + as_bytes(key, "a key"), as_bytes(operand, "a value"))

    def delete_range(self, start: bytes | str, end: bytes | str | None = None) -> None:
        """Removes the keys from ``start``, inclusive, to ``end``, exclusive, or to the last key."""
        start = self._prefix + as_bytes(start, "a key")
        end = _end_of(self._prefix) if end is None else self._prefix + as_bytes(end, "a key")
        self._cached.delete_range(start, end)

    def delete_prefix(self, prefix: bytes | str) -> None:
        """Removes all keys that begin with these bytes."""
        start = self._prefix + as_bytes(prefix, "a key")
        self._cached.delete_range(start, _end_of(start))

    def scan(self, start: bytes | str = b"", end: bytes | str | None = None) -> Iterator[tuple[bytes, bytes]]:
        """Yields the (key, value) pairs from ``start``, inclusive, to ``end``, exclusive, or to the last key, in byte order.

        A page is read at a time, so a scan of millions of pairs needs little memory. A function that writes while it scans
        meets what it has put ahead, and does not meet what it has deleted.
        """
        cached, skipped = self._cached, len(self._prefix)
        start = self._prefix + as_bytes(start, "a key")
        end = _end_of(self._prefix) if end is None else self._prefix + as_bytes(end, "a key")
        page, at, following, version, size = [], 0, start, 0, _PAGE
        while True:
            if cached.is_stale(version, start):
                page, at, following, size = [], 0, start, _FIRST_PAGE
            if at == len(page):
                if following is None:
                    return
                page, following, version = cached.page(start, end, size)
                at, size = 0, min(4 * size, _PAGE)
                if not page:
                    continue
            key, value = page[at]
            at += 1
            start = key + b"\x00"
            yield key[skipped:], value

    def keys(self, start: bytes | str = b"", end: bytes | str | None = None) -> Iterator[bytes]:
        """Yields the keys of a range, like :meth:`scan`."""
        return (key for key, _ in self.scan(start, end))
