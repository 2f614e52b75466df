# Copyright 2024 Function Stream Org.
# SPDX-License-Identifier: Apache-2.0

"""Values as bytes, the same in all languages, so that a state that one language wrote is read by another.

The codecs of ordered types keep the order of the values in the order of the bytes; they can encode keys. ``size`` is the length
of each encoding, or None if lengths differ.
"""

import pickle
import struct

from . import jsons


class Codec:
    """Encodes values. Derive from it for types of your own."""

    #: The length of each encoding, or None if lengths differ.
    size = None
    #: Whether the order of the bytes is that of the values.
    ordered = False

    def encode(self, value):
        """Returns the bytes of a value."""
        raise NotImplementedError

    def decode(self, data):
        """Returns the value of bytes."""
        raise NotImplementedError

    def encoded_size(self):
        """Returns the length of each encoding, or -1 if lengths differ."""
        return -1 if self.size is None else self.size

    @property
    def supports_ordered_keys(self):
        """Whether the order of the bytes is that of the values."""
        return self.ordered


class _Fixed(Codec):
    ordered = True

    def _check(self, data):
        if len(data) != self.size:
            raise ValueError(f"{type(self).__name__} takes {self.size} bytes, not {len(data)}")


class BoolCodec(_Fixed):
    """One byte: 0 or 1."""

    size = 1

    def encode(self, value):
        return b"\x01" if value else b"\x00"

    def decode(self, data):
        self._check(data)
        if data[0] > 1:
            raise ValueError(f"the byte {data[0]} is no encoded bool")
        return data[0] == 1


class _Signed(_Fixed):
    """Big-endian, with the sign bit flipped."""

    def encode(self, value):
        try:
            return (value + (1 << (8 * self.size - 1))).to_bytes(self.size, "big")
        except OverflowError:
            raise ValueError(f"{value} does not fit into {8 * self.size} bits") from None

    def decode(self, data):
        self._check(data)
        return int.from_bytes(data, "big") - (1 << (8 * self.size - 1))


class _Unsigned(_Fixed):
    """Big-endian."""

    def encode(self, value):
        try:
            return value.to_bytes(self.size, "big")
        except OverflowError:
            raise ValueError(f"{value} does not fit into {8 * self.size} bits without a sign") from None

    def decode(self, data):
        self._check(data)
        return int.from_bytes(data, "big")


class Int8Codec(_Signed):
    """One byte."""

    size = 1


class Int16Codec(_Signed):
    """Two bytes."""

    size = 2


class Int32Codec(_Signed):
    """Four bytes."""

    size = 4


class IntCodec(_Signed):
    """Eight bytes, as Go's int and int64 and Rust's i64."""

    size = 8


class Uint8Codec(_Unsigned):
    """One byte."""

    size = 1


class Uint16Codec(_Unsigned):
    """Two bytes."""

    size = 2


class Uint32Codec(_Unsigned):
    """Four bytes."""

    size = 4


class Uint64Codec(_Unsigned):
    """Eight bytes."""

    size = 8


class _Floats(_Fixed):
    _code = ""

    def encode(self, value):
        bits = int.from_bytes(struct.pack(">" + self._code, value), "big")
        sign = 1 << (8 * self.size - 1)
        bits = bits ^ (2 * sign - 1) if bits & sign else bits ^ sign
        return bits.to_bytes(self.size, "big")

    def decode(self, data):
        self._check(data)
        bits, sign = int.from_bytes(data, "big"), 1 << (8 * self.size - 1)
        bits = bits ^ sign if bits & sign else bits ^ (2 * sign - 1)
        return struct.unpack(">" + self._code, bits.to_bytes(self.size, "big"))[0]


class FloatCodec(_Floats):
    """Eight bytes: the bits, all inverted if negative, else with the sign bit flipped."""

    size = 8
    _code = "d"


class Float32Codec(_Floats):
    """Four bytes, in the same way."""

    size = 4
    _code = "f"


class StringCodec(Codec):
    """Text as UTF-8."""

    ordered = True

    def encode(self, value):
        return value.encode()

    def decode(self, data):
        return data.decode()


class BytesCodec(Codec):
    """Bytes as they are."""

    ordered = True

    def encode(self, value):
        return bytes(value)

    def decode(self, data):
        return data


class JsonCodec(Codec):
    """JSON, without spaces between its parts."""

    def encode(self, value):
        return jsons.write(value)

    def decode(self, data):
        return jsons.read(data)


class PickleCodec(Codec):
    """What Python alone can read."""

    def encode(self, value):
        return pickle.dumps(value, protocol=4)

    def decode(self, data):
        return pickle.loads(data)


_OF_TYPES = {
    bool: BoolCodec,
    int: IntCodec,
    float: FloatCodec,
    str: StringCodec,
    bytes: BytesCodec,
    dict: JsonCodec,
    list: JsonCodec,
}


def codec_of(kind):
    """Returns the codec of a type, or a codec as it is.

    That is JSON for dict and list, and pickle for types that JSON does not have.
    """
    if isinstance(kind, Codec) or (hasattr(kind, "encode") and hasattr(kind, "decode") and not isinstance(kind, type)):
        return kind
    if isinstance(kind, type) and issubclass(kind, Codec):
        return kind()
    origin = getattr(kind, "__origin__", kind)
    return _OF_TYPES.get(origin, PickleCodec)()


def is_ordered(codec):
    """Reports whether the order of a codec's bytes is that of its values."""
    return bool(getattr(codec, "ordered", False) or getattr(codec, "supports_ordered_keys", False))


def fixed_size(codec):
    """Returns the length of each of a codec's encodings, or None if lengths differ."""
    if hasattr(codec, "size"):
        return codec.size
    size = codec.encoded_size() if hasattr(codec, "encoded_size") else -1
    return size if size and size > 0 else None
