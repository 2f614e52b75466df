// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

package structures

import (
	"github.com/functionstream/function-stream/go-sdk-advanced/codec"
	"github.com/functionstream/function-stream/go-sdk-advanced/internal/state"
	"github.com/functionstream/function-stream/go-sdk/api"
)

// MapState is a map that stores its entries one by one, in the order of their encoded keys.
type MapState[K, V any] struct {
	state.Map[K, V]
}

// NewMapStateFromContext opens the map state of a store.
func NewMapStateFromContext[K, V any](ctx api.Context, storeName string, keyCodec codec.Codec[K], valueCodec codec.Codec[V]) (*MapState[K, V], error) {
	store, err := open(ctx, storeName, keyCodec, valueCodec)
	if err != nil {
		return nil, err
	}
	return &MapState[K, V]{state.NewMap[K, V](state.Single(store, state.KindMap), keyCodec, valueCodec)}, nil
}

// NewMapStateFromContextAutoCodec is like NewMapStateFromContext with the default codecs of both types.
func NewMapStateFromContextAutoCodec[K, V any](ctx api.Context, storeName string) (*MapState[K, V], error) {
	keyCodec, err := codec.DefaultCodecFor[K]()
	if err != nil {
		return nil, err
	}
	valueCodec, err := codec.DefaultCodecFor[V]()
	if err != nil {
		return nil, err
	}
	return NewMapStateFromContext(ctx, storeName, keyCodec, valueCodec)
}

// NewMapStateAutoKeyCodecFromContext is like NewMapStateFromContext with the default codec of the keys' type.
func NewMapStateAutoKeyCodecFromContext[K, V any](ctx api.Context, storeName string, valueCodec codec.Codec[V]) (*MapState[K, V], error) {
	keyCodec, err := codec.DefaultCodecFor[K]()
	if err != nil {
		return nil, err
	}
	return NewMapStateFromContext(ctx, storeName, keyCodec, valueCodec)
}
