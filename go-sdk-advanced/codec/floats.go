// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

package codec

import (
	"encoding/binary"
	"math"
)

// Float32Codec encodes a float32 in 4 bytes: its bits, all inverted if it is negative, else with the sign bit flipped.
type Float32Codec struct{}

// Encode returns 4 bytes.
func (Float32Codec) Encode(value float32) ([]byte, error) {
	bits := math.Float32bits(value)
	if bits>>31 != 0 {
		bits = ^bits
	} else {
		bits ^= 1 << 31
	}
	return binary.BigEndian.AppendUint32(nil, bits), nil
}

// Decode reads 4 bytes. The bits of a NaN are kept.
func (Float32Codec) Decode(data []byte) (float32, error) {
	if err := checkSize(data, 4, "float32"); err != nil {
		return 0, err
	}
	bits := binary.BigEndian.Uint32(data)
	if bits>>31 != 0 {
		bits ^= 1 << 31
	} else {
		bits = ^bits
	}
	return math.Float32frombits(bits), nil
}

// EncodedSize returns 4.
func (Float32Codec) EncodedSize() int { return 4 }

// IsOrderedKeyCodec returns true.
func (Float32Codec) IsOrderedKeyCodec() bool { return true }

// Float64Codec encodes a float64 in 8 bytes: its bits, all inverted if it is negative, else with the sign bit flipped.
type Float64Codec struct{}

// Encode returns 8 bytes.
func (Float64Codec) Encode(value float64) ([]byte, error) {
	bits := math.Float64bits(value)
	if bits>>63 != 0 {
		bits = ^bits
	} else {
		bits ^= 1 << 63
	}
	return binary.BigEndian.AppendUint64(nil, bits), nil
}

// Decode reads 8 bytes. The bits of a NaN are kept.
func (Float64Codec) Decode(data []byte) (float64, error) {
	if err := checkSize(data, 8, "float64"); err != nil {
		return 0, err
	}
	bits := binary.BigEndian.Uint64(data)
	if bits>>63 != 0 {
		bits ^= 1 << 63
	} else {
		bits = ^bits
	}
	return math.Float64frombits(bits), nil
}

// EncodedSize returns 8.
func (Float64Codec) EncodedSize() int { return 8 }

// IsOrderedKeyCodec returns true.
func (Float64Codec) IsOrderedKeyCodec() bool { return true }
