// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

package structures

import (
	"github.com/functionstream/function-stream/go-sdk-advanced/codec"
	"github.com/functionstream/function-stream/go-sdk-advanced/internal/state"
	"github.com/functionstream/function-stream/go-sdk/api"
)

// AggregateFunc makes results of values by way of an accumulator.
type AggregateFunc[T, ACC, R any] interface {
	// CreateAccumulator is the accumulator of no value.
	CreateAccumulator() ACC
	// Add is the accumulator with a value.
	Add(value T, accumulator ACC) ACC
	// GetResult is what the accumulator stands for.
	GetResult(accumulator ACC) R
	// Merge is the accumulator of the values of both.
	Merge(a, b ACC) ACC
}

// AggregatingState is an accumulator, into which values are added and which a result is made of.
type AggregatingState[T, ACC, R any] struct {
	state.Aggregating[T, ACC, R]
}

// NewAggregatingStateFromContext opens the aggregating state of a store.
func NewAggregatingStateFromContext[T, ACC, R any](ctx api.Context, storeName string, accCodec codec.Codec[ACC], aggFunc AggregateFunc[T, ACC, R]) (*AggregatingState[T, ACC, R], error) {
	store, err := open(ctx, storeName, accCodec)
	if err != nil {
		return nil, err
	}
	of, err := state.NewAggregating[T, ACC, R](state.Single(store, state.KindAggregating), accCodec, aggFunc)
	if err != nil {
		return nil, err
	}
	return &AggregatingState[T, ACC, R]{of}, nil
}

// NewAggregatingStateFromContextAutoCodec does the same with the default codec of the accumulator's type.
func NewAggregatingStateFromContextAutoCodec[T, ACC, R any](ctx api.Context, storeName string, aggFunc AggregateFunc[T, ACC, R]) (*AggregatingState[T, ACC, R], error) {
	accCodec, err := codec.DefaultCodecFor[ACC]()
	if err != nil {
		return nil, err
	}
	return NewAggregatingStateFromContext[T, ACC, R](ctx, storeName, accCodec, aggFunc)
}
