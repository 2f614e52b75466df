# Copyright 2024 Function Stream Org.
# SPDX-License-Identifier: Apache-2.0

"""The lists that cross the boundary of state: writes, and pairs. Their layout is told in wit/packed/packed.wit."""

import struct

PUT, DELETE, MERGE, DELETE_RANGE = range(4)

_U32 = struct.Struct("<I")
_OP = struct.Struct("<BI")


def write_ops(ops):
    """Encodes writes, each a tuple that begins with kind, key and value, and has a fourth part, which is not encoded."""
    parts = [_U32.pack(len(ops))]
    # To pack a number takes longer than to find it packed, and lengths are mostly the same.
    heads, sizes = ({}, {}, {}, {}), {}
    for kind, key, value, _ in ops:
        length, size = len(key), len(value)
        try:
            head = heads[kind][length]
        except KeyError:
            head = heads[kind][length] = _OP.pack(kind, length)
        try:
            packed = sizes[size]
        except KeyError:
            packed = sizes[size] = _U32.pack(size)
        parts += (head, key, packed, value)
    return b"".join(parts)


def read_ops(data):
    """Returns the writes."""
    (n,) = _U32.unpack_from(data)
    ops, at = [], 4
    for _ in range(n):
        kind, length = _OP.unpack_from(data, at)
        at += 5
        key = data[at : at + length]
        at += length
        (length,) = _U32.unpack_from(data, at)
        at += 4
        ops.append((kind, key, data[at : at + length]))
        at += length
    return ops


def write_pairs(pairs):
    """Encodes (key, value) pairs."""
    parts = [_U32.pack(len(pairs))]
    for key, value in pairs:
        parts += (_U32.pack(len(key)), key, _U32.pack(len(value)), value)
    return b"".join(parts)


def read_pairs(data):
    """Returns the (key, value) pairs."""
    (n,) = _U32.unpack_from(data)
    pairs, at = [], 4
    for _ in range(n):
        (length,) = _U32.unpack_from(data, at)
        at += 4
        key = data[at : at + length]
        at += length
        (length,) = _U32.unpack_from(data, at)
        at += 4
        pairs.append((key, data[at : at + length]))
        at += length
    return pairs
