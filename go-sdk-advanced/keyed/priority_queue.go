// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

package keyed

import (
	"github.com/functionstream/function-stream/go-sdk-advanced/codec"
	"github.com/functionstream/function-stream/go-sdk-advanced/internal/state"
	"github.com/functionstream/function-stream/go-sdk/api"
)

// KeyedPriorityQueueStateFactory makes the priority queue states of a key group.
type KeyedPriorityQueueStateFactory[T any] struct {
	place
	itemCodec codec.Codec[T]
}

// KeyedPriorityQueueState is a queue, for one key and namespace, that returns its least element first. Adding an element twice has no
// effect.
type KeyedPriorityQueueState[T any] struct {
	state.PriorityQueue[T]
}

// NewKeyedPriorityQueueStateFactoryFromContext opens a store for the states of a key group.
func NewKeyedPriorityQueueStateFactoryFromContext[T any](ctx api.Context, storeName string, keyGroup []byte, itemCodec codec.Codec[T]) (*KeyedPriorityQueueStateFactory[T], error) {
	place, err := open(ctx, storeName, keyGroup, itemCodec)
	if err != nil {
		return nil, err
	}
	if err := state.CheckOrdered(itemCodec); err != nil {
		return nil, err
	}
	return &KeyedPriorityQueueStateFactory[T]{place, itemCodec}, nil
}

// NewKeyedPriorityQueueStateFactoryFromContextAutoCodec is like NewKeyedPriorityQueueStateFactoryFromContext with the default codec of the type.
func NewKeyedPriorityQueueStateFactoryFromContextAutoCodec[T any](ctx api.Context, storeName string, keyGroup []byte) (*KeyedPriorityQueueStateFactory[T], error) {
	itemCodec, err := codec.DefaultCodecFor[T]()
	if err != nil {
		return nil, err
	}
	return NewKeyedPriorityQueueStateFactoryFromContext(ctx, storeName, keyGroup, itemCodec)
}

// NewKeyedPriorityQueue returns the state of a key and a namespace. Calling it again returns the same state.
func (f *KeyedPriorityQueueStateFactory[T]) NewKeyedPriorityQueue(primaryKey []byte, namespace []byte) (*KeyedPriorityQueueState[T], error) {
	of, err := state.NewPriorityQueue[T](f.at(state.KindPriorityQueue, primaryKey, namespace), f.itemCodec)
	if err != nil {
		return nil, err
	}
	return &KeyedPriorityQueueState[T]{of}, nil
}
