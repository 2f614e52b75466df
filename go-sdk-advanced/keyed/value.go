// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

package keyed

import (
	"github.com/functionstream/function-stream/go-sdk-advanced/codec"
	"github.com/functionstream/function-stream/go-sdk-advanced/internal/state"
	"github.com/functionstream/function-stream/go-sdk/api"
)

// KeyedValueStateFactory makes the value states of a key group.
type KeyedValueStateFactory[T any] struct {
	place
	valueCodec codec.Codec[T]
}

// KeyedValueState is a value, or none, for one key and namespace.
type KeyedValueState[T any] struct {
	state.Cell[T]
}

// NewKeyedValueStateFactoryFromContext opens a store for the states of a key group.
func NewKeyedValueStateFactoryFromContext[T any](ctx api.Context, storeName string, keyGroup []byte, valueCodec codec.Codec[T]) (*KeyedValueStateFactory[T], error) {
	place, err := open(ctx, storeName, keyGroup, valueCodec)
	if err != nil {
		return nil, err
	}
	return &KeyedValueStateFactory[T]{place, valueCodec}, nil
}

// NewKeyedValueStateFactoryFromContextAutoCodec is like NewKeyedValueStateFactoryFromContext with the default codec of the type.
func NewKeyedValueStateFactoryFromContextAutoCodec[T any](ctx api.Context, storeName string, keyGroup []byte) (*KeyedValueStateFactory[T], error) {
	valueCodec, err := codec.DefaultCodecFor[T]()
	if err != nil {
		return nil, err
	}
	return NewKeyedValueStateFactoryFromContext(ctx, storeName, keyGroup, valueCodec)
}

// NewKeyedValue returns the state of a key and a namespace. Calling it again returns the same state.
func (f *KeyedValueStateFactory[T]) NewKeyedValue(primaryKey []byte, namespace []byte) (*KeyedValueState[T], error) {
	return &KeyedValueState[T]{state.NewCell[T](f.at(state.KindValue, primaryKey, namespace), f.valueCodec)}, nil
}
