// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

package api

// Store is the keyed state of a task. No other task sees it. Writes become durable together with the records that caused them, and
// a function reads its own writes. An absent key is not the same as an empty value. A Store copies the bytes that it is given, and
// the bytes that it returns belong to the caller.
//
// Simple keys and complex keys never meet.
type Store interface {
	// PutState stores a value under a simple key.
	PutState(key, value []byte) error
	// GetState returns the value of a simple key, and whether the key is there.
	GetState(key []byte) (value []byte, found bool, err error)
	// DeleteState removes a simple key. It does nothing if the key is absent.
	DeleteState(key []byte) error
	// ListStates returns the simple keys from startInclusive to endExclusive, in byte order. If endExclusive is empty, there are
	// none.
	ListStates(startInclusive, endExclusive []byte) ([][]byte, error)

	// Put stores a value under a complex key.
	Put(key ComplexKey, value []byte) error
	// Get returns the value of a complex key, and whether the key is there.
	Get(key ComplexKey) (value []byte, found bool, err error)
	// Delete removes a complex key. It does nothing if the key is absent.
	Delete(key ComplexKey) error
	// Merge appends bytes to the value of a complex key without reading it. An absent value counts as empty.
	Merge(key ComplexKey, value []byte) error
	// DeletePrefix removes all keys that have the first three parts of key and a user key that begins with key.UserKey.
	DeletePrefix(key ComplexKey) error

	// ListComplex returns the user keys with these first three parts from startInclusive to endExclusive, in byte order. If
	// endExclusive is empty, there are none.
	ListComplex(keyGroup, key, namespace, startInclusive, endExclusive []byte) ([][]byte, error)
	// ScanComplex returns an iterator over all pairs with these first three parts, in the byte order of their user keys.
	ScanComplex(keyGroup, key, namespace []byte) (Iterator, error)

	// Close closes this handle: its methods return ErrStoreNotFound from then on. The state stays, and Context.GetOrCreateStore
	// opens it again.
	Close() error
}

// ComplexKey is a key of four parts. Parts are never mixed up: ("ab", "c") is not ("a", "bc").
type ComplexKey struct {
	// KeyGroup is the first part.
	KeyGroup []byte
	// Key is the second part.
	Key []byte
	// Namespace is the third part.
	Namespace []byte
	// UserKey is the last part. Keys with the same first three parts are ordered by it.
	UserKey []byte
}

// RangeStore is a Store that lists keys up to the last one. Every Store that the SDK passes implements it:
//
//	keys, err := store.(fssdk.RangeStore).ListStatesFrom(start)
type RangeStore interface {
	Store

	// ListStatesFrom returns the simple keys from startInclusive on, in byte order.
	ListStatesFrom(startInclusive []byte) ([][]byte, error)
	// ListComplexFrom returns the user keys with these first three parts from startInclusive on, in byte order.
	ListComplexFrom(keyGroup, key, namespace, startInclusive []byte) ([][]byte, error)
}

// OrderedStore is a Store that scans and deletes ranges of keys, and appends to values of simple keys. In Function Stream every Store is
// one. Hosts of the per-record world do not have this, so ask:
//
//	if ordered, ok := store.(fssdk.OrderedStore); ok {
//		pairs, err = ordered.ScanStates([]byte("a"), []byte("b"))
//	}
//
// A range ends before endExclusive, or with the last key if that is nil.
type OrderedStore interface {
	RangeStore

	// ScanStates iterates over the pairs of simple keys in a range, in byte order.
	ScanStates(startInclusive, endExclusive []byte) (Iterator, error)
	// ScanRange iterates over the pairs with these first three parts whose user keys are in a range, in byte order.
	ScanRange(keyGroup, key, namespace, startInclusive, endExclusive []byte) (Iterator, error)
	// DeleteStates removes all simple keys of a range.
	DeleteStates(startInclusive, endExclusive []byte) error
	// DeleteRange removes all keys with these first three parts whose user keys are in a range.
	DeleteRange(keyGroup, key, namespace, startInclusive, endExclusive []byte) error
	// MergeState appends bytes to the value of a simple key without reading it. An absent value counts as empty.
	MergeState(key, value []byte) error
}

// Iterator reads the pairs of a scan one by one. Each pair is the first one after that before, in the state as it is when Next is
// called. So a function that writes while it scans meets what it has put ahead, with its present value, and does not meet what it
// has deleted. What it writes behind the scan changes nothing. A scan that has come to its end stays there.
//
// An Iterator reads a page at a time, so a scan of millions of pairs needs little memory.
type Iterator interface {
	// HasNext reports whether Next will return a pair.
	HasNext() (bool, error)
	// Next returns the next user key with its value. At the end ok is false.
	Next() (key, value []byte, ok bool, err error)
	// Close releases the iterator. Its other methods return an error from then on.
	Close() error
}
