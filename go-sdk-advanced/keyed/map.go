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

// KeyedMapState is a map, for one key and name, that stores its entries one by one, in the order of their encoded keys.
type KeyedMapState[K, V any] struct {
	state.Map[K, V]
}

// NewKeyedMapStateFactoryFromContext opens a store for the states of a key group.
func NewKeyedMapStateFactoryFromContext[K, V any](ctx api.Context, storeName string, keyGroup []byte, keyCodec codec.Codec[K], valueCodec codec.Codec[V]) (*KeyedMapStateFactory[K, V], error) {
	place, err := open(ctx, storeName, keyGroup, keyCodec, valueCodec)
	if err != nil {
		return nil, err
	}
	return &KeyedMapStateFactory[K, V]{place, keyCodec, valueCodec}, nil
}

// NewKeyedMapStateFactoryFromContextAutoCodec is like NewKeyedMapStateFactoryFromContext with the default codecs of both types.
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

// NewKeyedMap returns the state of a key and a name. Calling it again returns the same state.
func (f *KeyedMapStateFactory[K, V]) NewKeyedMap(primaryKey []byte, mapName string) (*KeyedMapState[K, V], error) {
	return &KeyedMapState[K, V]{state.NewMap[K, V](f.at(state.KindMap, primaryKey, []byte(mapName)), f.keyCodec, f.valueCodec)}, nil
}
