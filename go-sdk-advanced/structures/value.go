// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

package structures

import (
	"github.com/functionstream/function-stream/go-sdk-advanced/codec"
	"github.com/functionstream/function-stream/go-sdk-advanced/internal/state"
	"github.com/functionstream/function-stream/go-sdk/api"
)

// ValueState is a value, or none.
type ValueState[T any] struct {
	state.Cell[T]
}

// NewValueStateFromContext opens the value state of a store.
func NewValueStateFromContext[T any](ctx api.Context, storeName string, valueCodec codec.Codec[T]) (*ValueState[T], error) {
	store, err := open(ctx, storeName, valueCodec)
	if err != nil {
		return nil, err
	}
	return &ValueState[T]{state.NewCell[T](state.Single(store, state.KindValue), valueCodec)}, nil
}

// NewValueStateFromContextAutoCodec is like NewValueStateFromContext with the default codec of the type.
func NewValueStateFromContextAutoCodec[T any](ctx api.Context, storeName string) (*ValueState[T], error) {
	valueCodec, err := codec.DefaultCodecFor[T]()
	if err != nil {
		return nil, err
	}
	return NewValueStateFromContext(ctx, storeName, valueCodec)
}
