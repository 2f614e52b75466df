// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

package structures

import (
	"github.com/functionstream/function-stream/go-sdk-advanced/codec"
	"github.com/functionstream/function-stream/go-sdk-advanced/internal/state"
	"github.com/functionstream/function-stream/go-sdk/api"
)

// ListState is a sequence of elements. Adding an element does not read the others.
type ListState[T any] struct {
	state.List[T]
}

// NewListStateFromContext opens the list state of a store.
func NewListStateFromContext[T any](ctx api.Context, storeName string, itemCodec codec.Codec[T]) (*ListState[T], error) {
	store, err := open(ctx, storeName, itemCodec)
	if err != nil {
		return nil, err
	}
	return &ListState[T]{state.NewList[T](state.Single(store, state.KindList), itemCodec)}, nil
}

// NewListStateFromContextAutoCodec is like NewListStateFromContext with the default codec of the type.
func NewListStateFromContextAutoCodec[T any](ctx api.Context, storeName string) (*ListState[T], error) {
	itemCodec, err := codec.DefaultCodecFor[T]()
	if err != nil {
		return nil, err
	}
	return NewListStateFromContext(ctx, storeName, itemCodec)
}
