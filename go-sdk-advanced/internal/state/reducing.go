// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

package state

import (
	"errors"

	"github.com/functionstream/function-stream/go-sdk-advanced/codec"
)

// ReduceFunc makes one value of two.
type ReduceFunc[V any] func(a, b V) (V, error)

// Reducing keeps the reduction of all values.
type Reducing[V any] struct {
	value    Cell[V]
	function ReduceFunc[V]
}

// NewReducing makes it.
func NewReducing[V any](place Place, codec codec.Codec[V], function ReduceFunc[V]) (Reducing[V], error) {
	if function == nil {
		return Reducing[V]{}, errors.New("a reducing state needs its function")
	}
	return Reducing[V]{NewCell(place, codec), function}, nil
}

// Add adds a value. The result of the first value is the value itself. If the function returns an error, nothing changes.
func (s *Reducing[V]) Add(value V) error {
	reduced, found, err := s.value.Value()
	if err != nil {
		return err
	}
	if found {
		if value, err = s.function(reduced, value); err != nil {
			return err
		}
	}
	return s.value.Update(value)
}

// Get returns the result, and whether any value was added.
func (s *Reducing[V]) Get() (V, bool, error) { return s.value.Value() }

// Clear removes all values.
func (s *Reducing[V]) Clear() error { return s.value.Clear() }
