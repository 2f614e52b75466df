// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

package state

import (
	"encoding/binary"
	"errors"

	"github.com/functionstream/function-stream/go-sdk-advanced/codec"
)

var errList = errors.New("the stored bytes are no list of these elements")

// List is a sequence of elements. Adding does not read what is there.
//
// It is stored as one value: elements of a fixed size one after the other, others each after its length (u32, big-endian).
type List[T any] struct {
	place Place
	codec codec.Codec[T]
	size  int
}

// NewList makes it.
func NewList[T any](place Place, of codec.Codec[T]) List[T] {
	size, _ := codec.FixedEncodedSize(of)
	return List[T]{place, of, size}
}

// Add appends an element.
func (s *List[T]) Add(value T) error {
	data, err := s.append(nil, value)
	if err != nil {
		return err
	}
	return s.place.merge(nil, data)
}

// AddAll appends elements, all or none.
func (s *List[T]) AddAll(values []T) error {
	data, err := s.encode(values)
	if err != nil || len(data) == 0 {
		return err
	}
	return s.place.merge(nil, data)
}

// Get returns all elements in the order in which they were added. If there are none, the slice is empty.
func (s *List[T]) Get() ([]T, error) {
	data, _, err := s.place.get(nil)
	if err != nil {
		return nil, err
	}
	values := []T{}
	for len(data) > 0 {
		size := s.size
		if size == 0 {
			if len(data) < 4 {
				return nil, errList
			}
			size, data = int(binary.BigEndian.Uint32(data)), data[4:]
		}
		if size < 0 || size > len(data) {
			return nil, errList
		}
		value, err := s.codec.Decode(data[:size])
		if err != nil {
			return nil, err
		}
		values, data = append(values, value), data[size:]
	}
	return values, nil
}

// Update replaces all elements.
func (s *List[T]) Update(values []T) error {
	data, err := s.encode(values)
	if err != nil {
		return err
	}
	if len(data) == 0 {
		return s.Clear()
	}
	return s.place.put(nil, data)
}

// Clear removes all elements.
func (s *List[T]) Clear() error { return s.place.delete(nil) }

func (s *List[T]) encode(values []T) (data []byte, err error) {
	for _, value := range values {
		if data, err = s.append(data, value); err != nil {
			return nil, err
		}
	}
	return data, nil
}

func (s *List[T]) append(data []byte, value T) ([]byte, error) {
	encoded, err := s.codec.Encode(value)
	if err != nil {
		return nil, err
	}
	if s.size > 0 && len(encoded) != s.size {
		return nil, errList
	}
	if s.size == 0 {
		data = binary.BigEndian.AppendUint32(data, uint32(len(encoded)))
	}
	return append(data, encoded...), nil
}
