// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

package structures

import (
	"github.com/functionstream/function-stream/go-sdk-advanced/codec"
	"github.com/functionstream/function-stream/go-sdk-advanced/internal/state"
	"github.com/functionstream/function-stream/go-sdk/api"
)

// ReduceFunc combines two values into one: the result so far and the next value.
type ReduceFunc[V any] func(reduced, next V) (V, error)

// ReducingState is the reduction of all values that were added to it.
type ReducingState[V any] struct {
	state.Reducing[V]
}

// NewReducingStateFromContext opens the reducing state of a store.
func NewReducingStateFromContext[V any](ctx api.Context, storeName string, valueCodec codec.Codec[V], reduceFunc ReduceFunc[V]) (*ReducingState[V], error) {
	store, err := open(ctx, storeName, valueCodec)
	if err != nil {
		return nil, err
	}
	of, err := state.NewReducing[V](state.Single(store, state.KindReducing), valueCodec, state.ReduceFunc[V](reduceFunc))
	if err != nil {
		return nil, err
	}
	return &ReducingState[V]{of}, nil
}

// NewReducingStateFromContextAutoCodec is like NewReducingStateFromContext with the default codec of the type.
func NewReducingStateFromContextAutoCodec[V any](ctx api.Context, storeName string, reduceFunc ReduceFunc[V]) (*ReducingState[V], error) {
	valueCodec, err := codec.DefaultCodecFor[V]()
	if err != nil {
		return nil, err
	}
	return NewReducingStateFromContext(ctx, storeName, valueCodec, reduceFunc)
}
