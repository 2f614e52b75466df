// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

package structures

import (
	"github.com/functionstream/function-stream/go-sdk-advanced/codec"
	"github.com/functionstream/function-stream/go-sdk-advanced/internal/state"
	"github.com/functionstream/function-stream/go-sdk/api"
)

// PriorityQueueState is a queue that returns its least element first. Adding an element twice has no effect.
type PriorityQueueState[T any] struct {
	state.PriorityQueue[T]
}

// NewPriorityQueueStateFromContext opens the priority queue state of a store.
func NewPriorityQueueStateFromContext[T any](ctx api.Context, storeName string, itemCodec codec.Codec[T]) (*PriorityQueueState[T], error) {
	store, err := open(ctx, storeName, itemCodec)
	if err != nil {
		return nil, err
	}
	of, err := state.NewPriorityQueue[T](state.Single(store, state.KindPriorityQueue), itemCodec)
	if err != nil {
		return nil, err
	}
	return &PriorityQueueState[T]{of}, nil
}

// NewPriorityQueueStateFromContextAutoCodec is like NewPriorityQueueStateFromContext with the default codec of the type.
func NewPriorityQueueStateFromContextAutoCodec[T any](ctx api.Context, storeName string) (*PriorityQueueState[T], error) {
	itemCodec, err := codec.DefaultCodecFor[T]()
	if err != nil {
		return nil, err
	}
	return NewPriorityQueueStateFromContext(ctx, storeName, itemCodec)
}
