# Copyright 2024 Function Stream Org.
# SPDX-License-Identifier: Apache-2.0

"""The packed frame: many records in one buffer. Its layout is told in wit/packed/packed.wit."""

import struct
import sys
from array import array

_HEADER = struct.Struct("<4sIII")
_MAGIC = b"FSF\x01"
_HAS_KEY = 1
_NULL = 2
_SWAP = sys.byteorder != "little"


class Columns:
    """A frame that was read: a column for each field of its records."""

    __slots__ = ("attributes", "channels", "header_ends", "key_ends", "n", "payload", "timestamps", "value_ends")

    def __init__(self, data):
        if len(data) < 16:
            raise ValueError("the frame is shorter than its header")
        magic, n, flags, length = _HEADER.unpack_from(data)
        if magic != _MAGIC or flags:
            raise ValueError("the bytes are no frame of a known version")
        if len(data) != 16 + 28 * n + length:
            raise ValueError("the frame is not as long as it says")
        self.n = n
        self.timestamps = _column(data, "q", 16, 8 * n)
        at = 16 + 8 * n
        columns = [_column(data, "I", at + 4 * n * i, 4 * n) for i in range(5)]
        self.channels, self.attributes, self.key_ends, self.header_ends, self.value_ends = columns
        self.payload = data[16 + 28 * n :]


def _column(data, code, start, length):
    column = array(code)
    column.frombytes(data[start : start + length])
    if _SWAP:
        column.byteswap()
    return column


def _packed(code, values):
    column = array(code, values)
    if _SWAP:
        column.byteswap()
    return column.tobytes()


def build(records):
    """Packs records, each a tuple (timestamp, channel, key or None, encoded headers, value or None)."""
    timestamps, channels, attributes, key_ends, header_ends, value_ends, payload = [], [], [], [], [], [], []
    at = 0
    for timestamp, channel, key, headers, value in records:
        timestamps.append(timestamp)
        channels.append(channel)
        attribute = 0
        if key is not None:
            attribute = _HAS_KEY
            at += len(key)
            payload.append(key)
        key_ends.append(at)
        if headers:
            at += len(headers)
            payload.append(headers)
        header_ends.append(at)
        if value is None:
            attribute |= _NULL
        else:
            at += len(value)
            payload.append(value)
        value_ends.append(at)
        attributes.append(attribute)
    parts = [_HEADER.pack(_MAGIC, len(timestamps), 0, at), _packed("q", timestamps)]
    parts += [_packed("I", column) for column in (channels, attributes, key_ends, header_ends, value_ends)]
    parts += payload
    return b"".join(parts)


def read(data):
    """Returns the records of a frame, each a tuple (timestamp, channel, key or None, encoded headers, value or None)."""
    frame = Columns(data)
    records, start, payload = [], 0, frame.payload
    for i in range(frame.n):
        attribute, key_end, header_end = frame.attributes[i], frame.key_ends[i], frame.header_ends[i]
        end = frame.value_ends[i]
        key = payload[start:key_end] if attribute & _HAS_KEY else None
        value = None if attribute & _NULL else payload[header_end:end]
        records.append((frame.timestamps[i], frame.channels[i], key, payload[key_end:header_end], value))
        start = end
    return records


def write_headers(headers):
    """Encodes (name, value) pairs."""
    parts = []
    for name, value in headers:
        name = name.encode()
        if isinstance(value, str):
            value = value.encode()
        if len(name) > 0xFFFF:
            raise ValueError("a header's name has more than 65535 bytes")
        parts += (struct.pack("<H", len(name)), name, struct.pack("<I", len(value)), value)
    return b"".join(parts)


def read_headers(data):
    """Returns the (name, value) pairs."""
    pairs, at = [], 0
    while at < len(data):
        (length,) = struct.unpack_from("<H", data, at)
        at += 2
        name = bytes(data[at : at + length]).decode()
        at += length
        (length,) = struct.unpack_from("<I", data, at)
        at += 4
        pairs.append((name, bytes(data[at : at + length])))
        at += length
    return pairs
