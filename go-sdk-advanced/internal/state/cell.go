// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

package state

import "github.com/functionstream/function-stream/go-sdk-advanced/codec"

// Cell is one value, or none.
type Cell[T any] struct {
	place Place
	codec codec.Codec[T]
}

// NewCell makes it.
func NewCell[T any](place Place, codec codec.Codec[T]) Cell[T] { return Cell[T]{place, codec} }

// Update sets the value.
func (s *Cell[T]) Update(value T) error {
	data, err := s.codec.Encode(value)
	if err != nil {
		return err
	}
	return s.place.put(nil, data)
}

// Value returns the value, and whether there is one.
func (s *Cell[T]) Value() (value T, found bool, err error) {
	data, found, err := s.place.get(nil)
	if err != nil || !found {
		return value, false, err
	}
	value, err = s.codec.Decode(data)
	return value, err == nil, err
}

// Clear removes the value.
func (s *Cell[T]) Clear() error { return s.place.delete(nil) }
