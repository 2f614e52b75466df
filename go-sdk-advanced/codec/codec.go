// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

// Package codec encodes values as the bytes that state consists of, and decodes them.
//
// The encodings of integers, floats, booleans and strings keep the order of the values in the order of the bytes, so they can be keys
// of ordered state:
//
//	bool          one byte, 0 or 1
//	uintN         big-endian
//	intN          big-endian with the sign bit flipped
//	int, uint     as int64, uint64
//	floatN        the bits, big-endian: all inverted if negative, else the sign bit flipped
//	string        its bytes
//	others        JSON, which has no order
//
// Among floats, -0 comes before 0, a NaN after everything else, and a NaN with the sign bit set before everything else.
package codec

import "fmt"

// Codec encodes and decodes values of one type. Decoding an encoded value must give an equal value. If the codec is used for keys,
// equal values must have equal encodings.
type Codec[T any] interface {
	// Encode returns new bytes.
	Encode(value T) ([]byte, error)
	// Decode returns the value. It must not keep data.
	Decode(data []byte) (T, error)
	// EncodedSize returns the size of every encoding in bytes, or -1 if sizes differ.
	EncodedSize() int
	// IsOrderedKeyCodec reports whether the byte order of the encodings is the order of the values.
	IsOrderedKeyCodec() bool
}

// FixedEncodedSize returns the size of every encoding in bytes, and whether there is one such size.
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
