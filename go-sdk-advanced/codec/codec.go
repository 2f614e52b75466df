// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

// Package codec turns values into bytes that state is made of, and back.
//
// Integers, floats, booleans and strings have encodings whose byte order is the order of the values, so that they can be
// keys of ordered state:
//
//	bool          one byte, 0 or 1
//	uintN         big-endian
//	intN          big-endian with the sign bit flipped
//	int, uint     as int64, uint64
//	floatN        the bits, big-endian: all inverted when negative, else the sign bit flipped
//	string        its bytes
//	others        JSON, which has no order
//
// Among floats -0 comes before 0, NaN after everything else, and a NaN with the sign bit before everything else.
package codec

import "fmt"

// Codec encodes values of one type. What it encodes it must decode to an equal value, and equal values must have equal
// encodings where it is used for keys.
type Codec[T any] interface {
	// Encode gives new bytes.
	Encode(value T) ([]byte, error)
	// Decode must not keep the bytes.
	Decode(data []byte) (T, error)
	// EncodedSize is the size of each encoding in bytes, or -1 when sizes differ.
	EncodedSize() int
	// IsOrderedKeyCodec tells whether the byte order of encodings is the order of values.
	IsOrderedKeyCodec() bool
}

// FixedEncodedSize is the size of each encoding, and whether there is one size.
func FixedEncodedSize[T any](codec Codec[T]) (int, bool) {
	size := codec.EncodedSize()
	return max(size, 0), size > 0
}

// checkSize refuses bytes that another codec has written.
func checkSize(data []byte, size int, name string) error {
	if len(data) != size {
		return fmt.Errorf("%d bytes are no encoded %s, which has %d", len(data), name, size)
	}
	return nil
}
