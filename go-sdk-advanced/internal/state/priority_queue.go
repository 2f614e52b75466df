// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

package state

import (
	"fmt"
	"iter"

	"github.com/functionstream/function-stream/go-sdk-advanced/codec"
)

// PriorityQueue gives its least element first. An element that is added twice is there once: an element is a key of the
// store, with an empty value.
type PriorityQueue[T any] struct {
	place Place
	codec codec.Codec[T]
}

// NewPriorityQueue makes it; an error when the codec has no order.
func NewPriorityQueue[T any](place Place, codec codec.Codec[T]) (PriorityQueue[T], error) {
	if err := CheckOrdered(codec); err != nil {
		return PriorityQueue[T]{}, err
	}
	return PriorityQueue[T]{place, codec}, nil
}

// CheckOrdered refuses a codec that has no order.
func CheckOrdered[T any](codec codec.Codec[T]) error {
	if !codec.IsOrderedKeyCodec() {
		return fmt.Errorf("a priority queue needs a codec with an order, which %T has not", codec)
	}
	return nil
}

// Add adds an element.
func (s *PriorityQueue[T]) Add(value T) error {
	key, err := s.codec.Encode(value)
	if err != nil {
		return err
	}
	return s.place.put(key, nil)
}

// Peek returns the least element, and whether there is one.
func (s *PriorityQueue[T]) Peek() (value T, found bool, err error) {
	value, _, found, err = s.first()
	return value, found, err
}

// Poll removes and returns the least element. It also reports whether there was one.
func (s *PriorityQueue[T]) Poll() (value T, found bool, err error) {
	value, key, found, err := s.first()
	if err == nil && found {
		err = s.place.delete(key)
	}
	return value, found && err == nil, err
}

// All returns an iterator over the elements in order. It does not remove them, and panics if the store fails, which fails the record.
func (s *PriorityQueue[T]) All() iter.Seq[T] {
	return func(yield func(T) bool) {
		must(s.place.visit(func(key, _ []byte) (bool, error) {
			value, err := s.codec.Decode(key)
			return err == nil && yield(value), err
		}))
	}
}

// Clear removes all elements.
func (s *PriorityQueue[T]) Clear() error { return s.place.clear() }

func (s *PriorityQueue[T]) first() (value T, key []byte, found bool, err error) {
	err = s.place.visit(func(first, _ []byte) (bool, error) {
		key, found = first, true
		return false, nil
	})
	if err != nil || !found {
		return value, nil, false, err
	}
	value, err = s.codec.Decode(key)
	return value, key, err == nil, err
}
