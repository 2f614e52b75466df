// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

package keyed

import (
	"github.com/functionstream/function-stream/go-sdk-advanced/codec"
	"github.com/functionstream/function-stream/go-sdk-advanced/internal/state"
	"github.com/functionstream/function-stream/go-sdk-advanced/structures"
	"github.com/functionstream/function-stream/go-sdk/api"
)

// KeyedReducingStateFactory makes the reducing states of a key group.
type KeyedReducingStateFactory[V any] struct {
	place
	valueCodec codec.Codec[V]
	reduceFunc structures.ReduceFunc[V]
}

// KeyedReducingState is the reduction of all values that were added to it, for one key and namespace.
type KeyedReducingState[V any] struct {
	state.Reducing[V]
}

// NewKeyedReducingStateFactoryFromContext opens a store for the states of a key group.
func NewKeyedReducingStateFactoryFromContext[V any](ctx api.Context, storeName string, keyGroup []byte, valueCodec codec.Codec[V], reduceFunc structures.ReduceFunc[V]) (*KeyedReducingStateFactory[V], error) {
	place, err := open(ctx, storeName, keyGroup, valueCodec)
	if err != nil {
		return nil, err
	}
	if reduceFunc == nil {
		return nil, errNoFunction
	}
	return &KeyedReducingStateFactory[V]{place, valueCodec, reduceFunc}, nil
}

// NewKeyedReducingStateFactoryFromContextAutoCodec is like NewKeyedReducingStateFactoryFromContext with the default codec of the type.
func NewKeyedReducingStateFactoryFromContextAutoCodec[V any](ctx api.Context, storeName string, keyGroup []byte, reduceFunc structures.ReduceFunc[V]) (*KeyedReducingStateFactory[V], error) {
	valueCodec, err := codec.DefaultCodecFor[V]()
	if err != nil {
		return nil, err
	}
	return NewKeyedReducingStateFactoryFromContext[V](ctx, storeName, keyGroup, valueCodec, reduceFunc)
}

// NewReducingState returns the state of a key and a namespace. Calling it again returns the same state.
func (f *KeyedReducingStateFactory[V]) NewReducingState(primaryKey []byte, namespace []byte) (*KeyedReducingState[V], error) {
	of, err := state.NewReducing[V](f.at(state.KindReducing, primaryKey, namespace), f.valueCodec, state.ReduceFunc[V](f.reduceFunc))
	if err != nil {
		return nil, err
	}
	return &KeyedReducingState[V]{of}, nil
}
