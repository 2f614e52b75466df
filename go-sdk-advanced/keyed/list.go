// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

package keyed

import (
	"github.com/functionstream/function-stream/go-sdk-advanced/codec"
	"github.com/functionstream/function-stream/go-sdk-advanced/internal/state"
	"github.com/functionstream/function-stream/go-sdk/api"
)

// KeyedListStateFactory makes the list states of a key group.
type KeyedListStateFactory[T any] struct {
	place
	itemCodec codec.Codec[T]
}

// KeyedListState is a sequence of elements for one key and namespace. Adding an element does not read the others.
type KeyedListState[T any] struct {
	state.List[T]
}

// NewKeyedListStateFactoryFromContext opens a store for the states of a key group.
func NewKeyedListStateFactoryFromContext[T any](ctx api.Context, storeName string, keyGroup []byte, itemCodec codec.Codec[T]) (*KeyedListStateFactory[T], error) {
	place, err := open(ctx, storeName, keyGroup, itemCodec)
	if err != nil {
		return nil, err
	}
	return &KeyedListStateFactory[T]{place, itemCodec}, nil
}

// NewKeyedListStateFactoryAutoCodecFromContext is like NewKeyedListStateFactoryFromContext with the default codec of the type.
func NewKeyedListStateFactoryAutoCodecFromContext[T any](ctx api.Context, storeName string, keyGroup []byte) (*KeyedListStateFactory[T], error) {
	itemCodec, err := codec.DefaultCodecFor[T]()
	if err != nil {
		return nil, err
	}
	return NewKeyedListStateFactoryFromContext(ctx, storeName, keyGroup, itemCodec)
}

// NewKeyedList returns the state of a key and a namespace. Calling it again returns the same state.
func (f *KeyedListStateFactory[T]) NewKeyedList(primaryKey []byte, namespace []byte) (*KeyedListState[T], error) {
	return &KeyedListState[T]{state.NewList[T](f.at(state.KindList, primaryKey, namespace), f.itemCodec)}, nil
}

// NewKeyedListFromFactory calls factory.NewKeyedList.
func NewKeyedListFromFactory[T any](factory *KeyedListStateFactory[T], key, namespace []byte) (*KeyedListState[T], error) {
	return factory.NewKeyedList(key, namespace)
}
