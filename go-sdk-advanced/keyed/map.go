// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

package keyed

import (
	"github.com/functionstream/function-stream/go-sdk-advanced/codec"
	"github.com/functionstream/function-stream/go-sdk-advanced/internal/state"
	"github.com/functionstream/function-stream/go-sdk/api"
)

// KeyedMapStateFactory makes the map states of a key group.
type KeyedMapStateFactory[K, V any] struct {
	place
	keyCodec   codec.Codec[K]
	valueCodec codec.Codec[V]
}

// KeyedMapState is a map whose entries are stored one by one, in the order of their encoded keys; of one key and namespace.
type KeyedMapState[K, V any] struct {
	state.Map[K, V]
}

// NewKeyedMapStateFactoryFromContext opens a store for states of a key group.
func NewKeyedMapStateFactoryFromContext[K, V any](ctx api.Context, storeName string, keyGroup []byte, keyCodec codec.Codec[K], valueCodec codec.Codec[V]) (*KeyedMapStateFactory[K, V], error) {
	place, err := open(ctx, storeName, keyGroup, keyCodec, valueCodec)
	if err != nil {
		return nil, err
	}
	return &KeyedMapStateFactory[K, V]{place, keyCodec, valueCodec}, nil
}

// NewKeyedMapStateFactoryFromContextAutoCodec does the same with the default codecs of both types.
func NewKeyedMapStateFactoryFromContextAutoCodec[K, V any](ctx api.Context, storeName string, keyGroup []byte) (*KeyedMapStateFactory[K, V], error) {
	keyCodec, err := codec.DefaultCodecFor[K]()
	if err != nil {
		return nil, err
	}
	valueCodec, err := codec.DefaultCodecFor[V]()
	if err != nil {
		return nil, err
	}
	return NewKeyedMapStateFactoryFromContext(ctx, storeName, keyGroup, keyCodec, valueCodec)
}

// NewKeyedMap is the state of a key and a name. It may be made again at any time, and is the same state then.
func (f *KeyedMapStateFactory[K, V]) NewKeyedMap(primaryKey []byte, mapName string) (*KeyedMapState[K, V], error) {
	return &KeyedMapState[K, V]{state.NewMap[K, V](f.at(state.KindMap, primaryKey, []byte(mapName)), f.keyCodec, f.valueCodec)}, nil
}
