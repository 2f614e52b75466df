// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

package keyed

import (
	"github.com/functionstream/function-stream/go-sdk-advanced/codec"
	"github.com/functionstream/function-stream/go-sdk-advanced/internal/state"
	"github.com/functionstream/function-stream/go-sdk-advanced/structures"
	"github.com/functionstream/function-stream/go-sdk/api"
)

// KeyedAggregatingStateFactory makes the aggregating states of a key group.
type KeyedAggregatingStateFactory[T, ACC, R any] struct {
	place
	accCodec codec.Codec[ACC]
	aggFunc  structures.AggregateFunc[T, ACC, R]
}

// KeyedAggregatingState is an accumulator, for one key and name, to which values are added and from which a result is computed.
type KeyedAggregatingState[T, ACC, R any] struct {
	state.Aggregating[T, ACC, R]
}

// NewKeyedAggregatingStateFactoryFromContext opens a store for the states of a key group.
func NewKeyedAggregatingStateFactoryFromContext[T, ACC, R any](ctx api.Context, storeName string, keyGroup []byte, accCodec codec.Codec[ACC], aggFunc structures.AggregateFunc[T, ACC, R]) (*KeyedAggregatingStateFactory[T, ACC, R], error) {
	place, err := open(ctx, storeName, keyGroup, accCodec)
	if err != nil {
		return nil, err
	}
	if aggFunc == nil {
		return nil, errNoFunction
	}
	return &KeyedAggregatingStateFactory[T, ACC, R]{place, accCodec, aggFunc}, nil
}

// NewKeyedAggregatingStateFactoryFromContextAutoCodec is like NewKeyedAggregatingStateFactoryFromContext with the default codec of the accumulator's type.
func NewKeyedAggregatingStateFactoryFromContextAutoCodec[T, ACC, R any](ctx api.Context, storeName string, keyGroup []byte, aggFunc structures.AggregateFunc[T, ACC, R]) (*KeyedAggregatingStateFactory[T, ACC, R], error) {
	accCodec, err := codec.DefaultCodecFor[ACC]()
	if err != nil {
		return nil, err
	}
	return NewKeyedAggregatingStateFactoryFromContext[T, ACC, R](ctx, storeName, keyGroup, accCodec, aggFunc)
}

// NewAggregatingState returns the state of a key and a name. Calling it again returns the same state.
func (f *KeyedAggregatingStateFactory[T, ACC, R]) NewAggregatingState(primaryKey []byte, stateName string) (*KeyedAggregatingState[T, ACC, R], error) {
	of, err := state.NewAggregating[T, ACC, R](f.at(state.KindAggregating, primaryKey, []byte(stateName)), f.accCodec, f.aggFunc)
	if err != nil {
		return nil, err
	}
	return &KeyedAggregatingState[T, ACC, R]{of}, nil
}
