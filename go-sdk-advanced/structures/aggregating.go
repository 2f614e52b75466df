// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

package structures

import (
	"github.com/functionstream/function-stream/go-sdk-advanced/codec"
	"github.com/functionstream/function-stream/go-sdk-advanced/internal/state"
	"github.com/functionstream/function-stream/go-sdk/api"
)

// AggregateFunc adds values to an accumulator and computes a result from it.
type AggregateFunc[T, ACC, R any] interface {
	// CreateAccumulator returns the accumulator of no values.
	CreateAccumulator() ACC
	// Add returns the accumulator with a value added.
	Add(value T, accumulator ACC) ACC
	// GetResult returns the result that the accumulator stands for.
	GetResult(accumulator ACC) R
	// Merge returns the accumulator of the values of both.
	Merge(a, b ACC) ACC
}

// AggregatingState is an accumulator to which values are added and from which a result is computed.
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

// NewAggregatingStateFromContextAutoCodec is like NewAggregatingStateFromContext with the default codec of the accumulator's type.
func NewAggregatingStateFromContextAutoCodec[T, ACC, R any](ctx api.Context, storeName string, aggFunc AggregateFunc[T, ACC, R]) (*AggregatingState[T, ACC, R], error) {
	accCodec, err := codec.DefaultCodecFor[ACC]()
	if err != nil {
		return nil, err
	}
	return NewAggregatingStateFromContext[T, ACC, R](ctx, storeName, accCodec, aggFunc)
}
