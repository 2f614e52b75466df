// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//go:build wasip1 || wasip2

package core

import (
	"bytes"

	"github.com/functionstream/function-stream/go-sdk/api"
	"github.com/functionstream/function-stream/go-sdk/bindings/abi"
)

// Emit is collector.emit.
func Emit(target uint32, data []byte) { emit(target, abi.Data(data), abi.Len(data)) }

// EmitWatermark is collector.emit-watermark.
func EmitWatermark(target uint32, watermark uint64) { emitWatermark(target, watermark) }

// Store is kv.store.
type Store uint32

// NewStore is its constructor.
func NewStore(name string) Store {
	raw := []byte(name)
	return Store(newStore(abi.Data(raw), abi.Len(raw)))
}

// PutState is store.put-state.
func (s Store) PutState(key, value []byte) error {
	putState(uint32(s), abi.Data(key), abi.Len(key), abi.Data(value), abi.Len(value), abi.At())
	return refusal()
}

// GetState is store.get-state.
func (s Store) GetState(key []byte) (value []byte, found bool, err error) {
	getState(uint32(s), abi.Data(key), abi.Len(key), abi.At())
	return optional()
}

// DeleteState is store.delete-state.
func (s Store) DeleteState(key []byte) error {
	deleteState(uint32(s), abi.Data(key), abi.Len(key), abi.At())
	return refusal()
}

// ListStates is store.list-states.
func (s Store) ListStates(start, end []byte) ([][]byte, error) {
	listStates(uint32(s), abi.Data(start), abi.Len(start), abi.Data(end), abi.Len(end), abi.At())
	return list()
}

// openEnd is the end of a list that has none: the world has lists with an end only. Keys that begin with so many bytes 0xff are left
// out.
var openEnd = bytes.Repeat([]byte{0xff}, 1024)

// ListStatesFrom is store.list-states without an end.
func (s Store) ListStatesFrom(start []byte) ([][]byte, error) { return s.ListStates(start, openEnd) }

// ListComplexFrom is store.list-complex without an end.
func (s Store) ListComplexFrom(group, key, namespace, start []byte) ([][]byte, error) {
	return s.ListComplex(group, key, namespace, start, openEnd)
}

// Put is store.put.
func (s Store) Put(k api.ComplexKey, value []byte) error {
	put(uint32(s), abi.Data(k.KeyGroup), abi.Len(k.KeyGroup), abi.Data(k.Key), abi.Len(k.Key), abi.Data(k.Namespace), abi.Len(k.Namespace),
		abi.Data(k.UserKey), abi.Len(k.UserKey), abi.Data(value), abi.Len(value), abi.At())
	return refusal()
}

// Get is store.get.
func (s Store) Get(k api.ComplexKey) (value []byte, found bool, err error) {
	get(uint32(s), abi.Data(k.KeyGroup), abi.Len(k.KeyGroup), abi.Data(k.Key), abi.Len(k.Key), abi.Data(k.Namespace), abi.Len(k.Namespace),
		abi.Data(k.UserKey), abi.Len(k.UserKey), abi.At())
	return optional()
}

// Delete is store.delete.
func (s Store) Delete(k api.ComplexKey) error {
	remove(uint32(s), abi.Data(k.KeyGroup), abi.Len(k.KeyGroup), abi.Data(k.Key), abi.Len(k.Key), abi.Data(k.Namespace), abi.Len(k.Namespace),
		abi.Data(k.UserKey), abi.Len(k.UserKey), abi.At())
	return refusal()
}

// Merge is store.merge.
func (s Store) Merge(k api.ComplexKey, value []byte) error {
	merge(uint32(s), abi.Data(k.KeyGroup), abi.Len(k.KeyGroup), abi.Data(k.Key), abi.Len(k.Key), abi.Data(k.Namespace), abi.Len(k.Namespace),
		abi.Data(k.UserKey), abi.Len(k.UserKey), abi.Data(value), abi.Len(value), abi.At())
	return refusal()
}

// DeletePrefix is store.delete-prefix.
func (s Store) DeletePrefix(k api.ComplexKey) error {
	deletePrefix(uint32(s), abi.Data(k.KeyGroup), abi.Len(k.KeyGroup), abi.Data(k.Key), abi.Len(k.Key), abi.Data(k.Namespace), abi.Len(k.Namespace),
		abi.Data(k.UserKey), abi.Len(k.UserKey), abi.At())
	return refusal()
}

// ListComplex is store.list-complex.
func (s Store) ListComplex(group, key, namespace, start, end []byte) ([][]byte, error) {
	listComplex(uint32(s), abi.Data(group), abi.Len(group), abi.Data(key), abi.Len(key), abi.Data(namespace), abi.Len(namespace),
		abi.Data(start), abi.Len(start), abi.Data(end), abi.Len(end), abi.At())
	return list()
}

// ScanComplex is store.scan-complex.
func (s Store) ScanComplex(group, key, namespace []byte) (api.Iterator, error) {
	scanComplex(uint32(s), abi.Data(group), abi.Len(group), abi.Data(key), abi.Len(key), abi.Data(namespace), abi.Len(namespace), abi.At())
	if abi.Byte(0) != 0 {
		return nil, kvError()
	}
	return Iterator(abi.Word(4)), nil
}

// Iterator is kv.iterator.
type Iterator uint32

// HasNext is iterator.has-next.
func (i Iterator) HasNext() (bool, error) {
	hasNext(uint32(i), abi.At())
	if abi.Byte(0) != 0 {
		return false, kvError()
	}
	return abi.Byte(4) != 0, nil
}

// Next is iterator.next.
func (i Iterator) Next() (key, value []byte, ok bool, err error) {
	next(uint32(i), abi.At())
	if abi.Byte(0) != 0 {
		return nil, nil, false, kvError()
	}
	if abi.Byte(4) == 0 {
		return nil, nil, false, nil
	}
	key, value = abi.BytesAt(8), abi.BytesAt(16)
	abi.Reset()
	return key, value, true, nil
}

// Close drops the resource.
func (i Iterator) Close() error {
	dropIterator(uint32(i))
	return nil
}

// refusal is the error of a result<_, error>.
func refusal() error {
	if abi.Byte(0) == 0 {
		return nil
	}
	return kvError()
}

// optional reads a result<option<list<u8>>, error>.
func optional() (value []byte, found bool, err error) {
	if abi.Byte(0) != 0 {
		return nil, false, kvError()
	}
	if abi.Byte(4) == 0 {
		return nil, false, nil
	}
	value = abi.BytesAt(8)
	abi.Reset()
	return value, true, nil
}

// list reads a result<list<list<u8>>, error>.
func list() ([][]byte, error) {
	if abi.Byte(0) != 0 {
		return nil, kvError()
	}
	at, n := abi.Word(4), abi.Word(8)
	keys := make([][]byte, n)
	for i := range keys {
		element := at + uint32(i)*8
		keys[i] = abi.Bytes(abi.WordOf(element, 0), abi.WordOf(element, 4))
	}
	abi.Reset()
	return keys, nil
}

// kvError is the error of a result<…, kv.error>.
func kvError() error {
	defer abi.Reset()
	switch abi.Byte(4) {
	case 0:
		return api.NewError(api.ErrStoreNotFound, "not found")
	case 1:
		return api.NewError(api.ErrStoreIO, abi.StringAt(8))
	default:
		return api.NewError(api.ErrStoreInternal, abi.StringAt(8))
	}
}
