// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

package codec

import (
	"encoding/json"
	"fmt"
)

// BoolCodec encodes a bool in one byte.
type BoolCodec struct{}

// Encode returns the byte 0 or 1.
func (BoolCodec) Encode(value bool) ([]byte, error) {
	if value {
		return []byte{1}, nil
	}
	return []byte{0}, nil
}

// Decode reads the byte 0 or 1.
func (BoolCodec) Decode(data []byte) (bool, error) {
	if err := checkSize(data, 1, "bool"); err != nil {
		return false, err
	}
	if data[0] > 1 {
		return false, fmt.Errorf("the byte %d is no encoded bool", data[0])
	}
	return data[0] == 1, nil
}

// EncodedSize returns 1.
func (BoolCodec) EncodedSize() int { return 1 }

// IsOrderedKeyCodec returns true: false comes before true.
func (BoolCodec) IsOrderedKeyCodec() bool { return true }

// StringCodec encodes a string as its bytes.
type StringCodec struct{}

// Encode returns the bytes of the string.
func (StringCodec) Encode(value string) ([]byte, error) { return []byte(value), nil }

// Decode reads any bytes.
func (StringCodec) Decode(data []byte) (string, error) { return string(data), nil }

// EncodedSize returns -1, since sizes differ.
func (StringCodec) EncodedSize() int { return -1 }

// IsOrderedKeyCodec returns true.
func (StringCodec) IsOrderedKeyCodec() bool { return true }

// BytesCodec encodes bytes as they are. It is not the default codec of []byte, which is JSONCodec, as stored states have it.
type BytesCodec struct{}

// Encode returns a copy of the bytes.
func (BytesCodec) Encode(value []byte) ([]byte, error) { return append([]byte{}, value...), nil }

// Decode returns a copy of the bytes.
func (BytesCodec) Decode(data []byte) ([]byte, error) { return append([]byte{}, data...), nil }

// EncodedSize returns -1, since sizes differ.
func (BytesCodec) EncodedSize() int { return -1 }

// IsOrderedKeyCodec returns true.
func (BytesCodec) IsOrderedKeyCodec() bool { return true }

// JSONCodec encodes a value as JSON, by package encoding/json.
type JSONCodec[T any] struct{}

// Encode returns JSON.
func (JSONCodec[T]) Encode(value T) ([]byte, error) { return json.Marshal(value) }

// Decode reads JSON.
func (JSONCodec[T]) Decode(data []byte) (value T, err error) {
	err = json.Unmarshal(data, &value)
	return value, err
}

// EncodedSize returns -1, since sizes differ.
func (JSONCodec[T]) EncodedSize() int { return -1 }

// IsOrderedKeyCodec returns false.
func (JSONCodec[T]) IsOrderedKeyCodec() bool { return false }
