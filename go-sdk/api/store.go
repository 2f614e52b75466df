// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

package api

// Store is keyed state of the task, which no other task sees. Writes become durable together with the records that they were
// made for. A function reads its own writes. An absent key is not an empty value. Bytes that are passed in are copied, and
// bytes that are given out belong to the caller.
//
// Simple keys and complex keys are apart from each other.
type Store interface {
	// PutState stores a value under a simple key.
	PutState(key, value []byte) error
	// GetState is the value of a simple key, and whether there is one.
	GetState(key []byte) (value []byte, found bool, err error)
	// DeleteState removes a simple key; it is no error when the key is absent.
	DeleteState(key []byte) error
	// ListStates gives the simple keys from the first bound, inclusive, to the second, exclusive, in byte order. No key is
	// before an empty second bound.
	ListStates(startInclusive, endExclusive []byte) ([][]byte, error)

	// Put stores a value under a complex key.
	Put(key ComplexKey, value []byte) error
	// Get is the value of a complex key, and whether there is one.
	Get(key ComplexKey) (value []byte, found bool, err error)
	// Delete removes a complex key; it is no error when the key is absent.
	Delete(key ComplexKey) error
	// Merge appends bytes to the value of a complex key without reading it; an absent one counts as empty.
	Merge(key ComplexKey, value []byte) error
	// DeletePrefix removes all keys of the same first three parts whose user key begins with that of key.
	DeletePrefix(key ComplexKey) error

	// ListComplex gives the user keys below three parts from startInclusive to endExclusive, in byte order. No key is before
	// an empty endExclusive.
	ListComplex(keyGroup, key, namespace, startInclusive, endExclusive []byte) ([][]byte, error)
	// ScanComplex gives all pairs below three parts, in the byte order of their user keys. They are read as the iterator
	// proceeds, not collected.
	ScanComplex(keyGroup, key, namespace []byte) (Iterator, error)

	// Close gives this handle up: its calls give ErrStoreNotFound from then on. The state stays, and Context.GetOrCreateStore
	// opens it again.
	Close() error
}

// ComplexKey is a key of four parts. Parts are never mixed up: "ab", "c" is not "a", "bc".
type ComplexKey struct {
	// KeyGroup is the first part.
	KeyGroup []byte
	// Key is the second part.
	Key []byte
	// Namespace is the third part.
	Namespace []byte
	// UserKey is the part by which keys of the same three others are ordered.
	UserKey []byte
}

// Iterator gives the pairs of a scan. A write behind the page that is being read is seen when its page is read.
type Iterator interface {
	// HasNext tells whether Next will give a pair.
	HasNext() (bool, error)
	// Next is the next user key with its value; ok is false at the end.
	Next() (key, value []byte, ok bool, err error)
	// Close releases the iterator; its other methods give an error from then on.
	Close() error
}
