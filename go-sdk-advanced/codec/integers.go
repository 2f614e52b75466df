// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

package codec

import "encoding/binary"

// IntCodec encodes an int in 8 bytes, big-endian with the sign bit flipped.
type IntCodec struct{}

// Encode returns 8 bytes.
func (IntCodec) Encode(value int) ([]byte, error) {
	return binary.BigEndian.AppendUint64(nil, uint64(value)^1<<63), nil
}

// Decode reads 8 bytes.
func (IntCodec) Decode(data []byte) (int, error) {
	if err := checkSize(data, 8, "int"); err != nil {
		return 0, err
	}
	return int(binary.BigEndian.Uint64(data) ^ 1<<63), nil
}

// EncodedSize returns 8.
func (IntCodec) EncodedSize() int { return 8 }

// IsOrderedKeyCodec returns true.
func (IntCodec) IsOrderedKeyCodec() bool { return true }

// Int8Codec encodes an int8 in 1 byte, big-endian with the sign bit flipped.
type Int8Codec struct{}

// Encode returns 1 byte.
func (Int8Codec) Encode(value int8) ([]byte, error) {
	return []byte{byte(value) ^ 1<<7}, nil
}

// Decode reads 1 byte.
func (Int8Codec) Decode(data []byte) (int8, error) {
	if err := checkSize(data, 1, "int8"); err != nil {
		return 0, err
	}
	return int8(data[0] ^ 1<<7), nil
}

// EncodedSize returns 1.
func (Int8Codec) EncodedSize() int { return 1 }

// IsOrderedKeyCodec returns true.
func (Int8Codec) IsOrderedKeyCodec() bool { return true }

// Int16Codec encodes an int16 in 2 bytes, big-endian with the sign bit flipped.
type Int16Codec struct{}

// Encode returns 2 bytes.
func (Int16Codec) Encode(value int16) ([]byte, error) {
	return binary.BigEndian.AppendUint16(nil, uint16(value)^1<<15), nil
}

// Decode reads 2 bytes.
func (Int16Codec) Decode(data []byte) (int16, error) {
	if err := checkSize(data, 2, "int16"); err != nil {
		return 0, err
	}
	return int16(binary.BigEndian.Uint16(data) ^ 1<<15), nil
}

// EncodedSize returns 2.
func (Int16Codec) EncodedSize() int { return 2 }

// IsOrderedKeyCodec returns true.
func (Int16Codec) IsOrderedKeyCodec() bool { return true }

// Int32Codec encodes an int32 in 4 bytes, big-endian with the sign bit flipped.
type Int32Codec struct{}

// Encode returns 4 bytes.
func (Int32Codec) Encode(value int32) ([]byte, error) {
	return binary.BigEndian.AppendUint32(nil, uint32(value)^1<<31), nil
}

// Decode reads 4 bytes.
func (Int32Codec) Decode(data []byte) (int32, error) {
	if err := checkSize(data, 4, "int32"); err != nil {
		return 0, err
	}
	return int32(binary.BigEndian.Uint32(data) ^ 1<<31), nil
}

// EncodedSize returns 4.
func (Int32Codec) EncodedSize() int { return 4 }

// IsOrderedKeyCodec returns true.
func (Int32Codec) IsOrderedKeyCodec() bool { return true }

// Int64Codec encodes an int64 in 8 bytes, big-endian with the sign bit flipped.
type Int64Codec struct{}

// Encode returns 8 bytes.
func (Int64Codec) Encode(value int64) ([]byte, error) {
	return binary.BigEndian.AppendUint64(nil, uint64(value)^1<<63), nil
}

// Decode reads 8 bytes.
func (Int64Codec) Decode(data []byte) (int64, error) {
	if err := checkSize(data, 8, "int64"); err != nil {
		return 0, err
	}
	return int64(binary.BigEndian.Uint64(data) ^ 1<<63), nil
}

// EncodedSize returns 8.
func (Int64Codec) EncodedSize() int { return 8 }

// IsOrderedKeyCodec returns true.
func (Int64Codec) IsOrderedKeyCodec() bool { return true }

// UintCodec encodes a uint in 8 bytes, big-endian.
type UintCodec struct{}

// Encode returns 8 bytes.
func (UintCodec) Encode(value uint) ([]byte, error) {
	return binary.BigEndian.AppendUint64(nil, uint64(value)), nil
}

// Decode reads 8 bytes.
func (UintCodec) Decode(data []byte) (uint, error) {
	if err := checkSize(data, 8, "uint"); err != nil {
		return 0, err
	}
	return uint(binary.BigEndian.Uint64(data)), nil
}

// EncodedSize returns 8.
func (UintCodec) EncodedSize() int { return 8 }

// IsOrderedKeyCodec returns true.
func (UintCodec) IsOrderedKeyCodec() bool { return true }

// Uint8Codec encodes a uint8 in 1 byte, big-endian.
type Uint8Codec struct{}

// Encode returns 1 byte.
func (Uint8Codec) Encode(value uint8) ([]byte, error) {
	return []byte{byte(value)}, nil
}

// Decode reads 1 byte.
func (Uint8Codec) Decode(data []byte) (uint8, error) {
	if err := checkSize(data, 1, "uint8"); err != nil {
		return 0, err
	}
	return uint8(data[0]), nil
}

// EncodedSize returns 1.
func (Uint8Codec) EncodedSize() int { return 1 }

// IsOrderedKeyCodec returns true.
func (Uint8Codec) IsOrderedKeyCodec() bool { return true }

// Uint16Codec encodes a uint16 in 2 bytes, big-endian.
type Uint16Codec struct{}

// Encode returns 2 bytes.
func (Uint16Codec) Encode(value uint16) ([]byte, error) {
	return binary.BigEndian.AppendUint16(nil, uint16(value)), nil
}

// Decode reads 2 bytes.
func (Uint16Codec) Decode(data []byte) (uint16, error) {
	if err := checkSize(data, 2, "uint16"); err != nil {
		return 0, err
	}
	return uint16(binary.BigEndian.Uint16(data)), nil
}

// EncodedSize returns 2.
func (Uint16Codec) EncodedSize() int { return 2 }

// IsOrderedKeyCodec returns true.
func (Uint16Codec) IsOrderedKeyCodec() bool { return true }

// Uint32Codec encodes a uint32 in 4 bytes, big-endian.
type Uint32Codec struct{}

// Encode returns 4 bytes.
func (Uint32Codec) Encode(value uint32) ([]byte, error) {
	return binary.BigEndian.AppendUint32(nil, uint32(value)), nil
}

// Decode reads 4 bytes.
func (Uint32Codec) Decode(data []byte) (uint32, error) {
	if err := checkSize(data, 4, "uint32"); err != nil {
		return 0, err
	}
	return uint32(binary.BigEndian.Uint32(data)), nil
}

// EncodedSize returns 4.
func (Uint32Codec) EncodedSize() int { return 4 }

// IsOrderedKeyCodec returns true.
func (Uint32Codec) IsOrderedKeyCodec() bool { return true }

// Uint64Codec encodes a uint64 in 8 bytes, big-endian.
type Uint64Codec struct{}

// Encode returns 8 bytes.
func (Uint64Codec) Encode(value uint64) ([]byte, error) {
	return binary.BigEndian.AppendUint64(nil, uint64(value)), nil
}

// Decode reads 8 bytes.
func (Uint64Codec) Decode(data []byte) (uint64, error) {
	if err := checkSize(data, 8, "uint64"); err != nil {
		return 0, err
	}
	return uint64(binary.BigEndian.Uint64(data)), nil
}

// EncodedSize returns 8.
func (Uint64Codec) EncodedSize() int { return 8 }

// IsOrderedKeyCodec returns true.
func (Uint64Codec) IsOrderedKeyCodec() bool { return true }
