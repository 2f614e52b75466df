// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

package state

import (
	"iter"

	"github.com/functionstream/function-stream/go-sdk-advanced/codec"
)

// Map is a map whose entries are stored one by one, so that it may be larger than memory.
type Map[K, V any] struct {
	place  Place
	keys   codec.Codec[K]
	values codec.Codec[V]
}

// NewMap makes it.
func NewMap[K, V any](place Place, keys codec.Codec[K], values codec.Codec[V]) Map[K, V] {
	return Map[K, V]{place, keys, values}
}

// Put sets the value of a key.
func (s *Map[K, V]) Put(key K, value V) error {
	encodedKey, err := s.keys.Encode(key)
	if err != nil {
		return err
	}
	data, err := s.values.Encode(value)
	if err != nil {
		return err
	}
	return s.place.put(encodedKey, data)
}

// Get returns the value of a key, and whether there is one.
func (s *Map[K, V]) Get(key K) (value V, found bool, err error) {
	encodedKey, err := s.keys.Encode(key)
	if err != nil {
		return value, false, err
	}
	data, found, err := s.place.get(encodedKey)
	if err != nil || !found {
		return value, false, err
	}
	value, err = s.values.Decode(data)
	return value, err == nil, err
}

// Delete removes a key. It does nothing if the key is absent.
func (s *Map[K, V]) Delete(key K) error {
	encodedKey, err := s.keys.Encode(key)
	if err != nil {
		return err
	}
	return s.place.delete(encodedKey)
}

// All returns an iterator over the entries, in the order of their encoded keys. With an ordered key codec that is the order of the
// keys. The map may be changed during the iteration, which gives each entry that is ahead as it is when its turn comes: what was
// deleted is left out, and what was added is met.
//
// An iterator cannot return an error, and an error must not look like the end. So All panics if the store fails, which fails the
// record.
func (s *Map[K, V]) All() iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		must(s.place.visit(func(encodedKey, data []byte) (bool, error) {
			key, err := s.keys.Decode(encodedKey)
			if err != nil {
				return false, err
			}
			value, err := s.values.Decode(data)
			if err != nil {
				return false, err
			}
			return yield(key, value), nil
		}))
	}
}

// Clear removes all entries.
func (s *Map[K, V]) Clear() error { return s.place.clear() }

func must(err error) {
	if err != nil {
		panic(err)
	}
}
