// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

package state

import (
	"errors"

	"github.com/functionstream/function-stream/go-sdk-advanced/codec"
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

// Aggregating keeps an accumulator.
type Aggregating[T, ACC, R any] struct {
	accumulator Cell[ACC]
	function    AggregateFunc[T, ACC, R]
}

// NewAggregating makes it.
func NewAggregating[T, ACC, R any](place Place, codec codec.Codec[ACC], function AggregateFunc[T, ACC, R]) (Aggregating[T, ACC, R], error) {
	if function == nil {
		return Aggregating[T, ACC, R]{}, errors.New("an aggregating state needs its function")
	}
	return Aggregating[T, ACC, R]{NewCell(place, codec), function}, nil
}

// Add adds a value.
func (s *Aggregating[T, ACC, R]) Add(value T) error {
	accumulator, found, err := s.accumulator.Value()
	if err != nil {
		return err
	}
	if !found {
		accumulator = s.function.CreateAccumulator()
	}
	return s.accumulator.Update(s.function.Add(value, accumulator))
}

// Accumulated is an aggregating state, keyed or not, with accumulators of this type.
type Accumulated[ACC any] interface {
	accumulated() (ACC, bool, error)
}

func (s *Aggregating[T, ACC, R]) accumulated() (ACC, bool, error) { return s.accumulator.Value() }

// Merge adds all values of another state, which keeps them, as when two sessions turn out to be one.
func (s *Aggregating[T, ACC, R]) Merge(other Accumulated[ACC]) error {
	theirs, found, err := other.accumulated()
	if err != nil || !found {
		return err
	}
	ours, found, err := s.accumulator.Value()
	if err != nil {
		return err
	}
	if found {
		theirs = s.function.Merge(ours, theirs)
	}
	return s.accumulator.Update(theirs)
}

// Get returns the result, and whether any value was added.
func (s *Aggregating[T, ACC, R]) Get() (result R, found bool, err error) {
	accumulator, found, err := s.accumulator.Value()
	if err != nil || !found {
		return result, false, err
	}
	return s.function.GetResult(accumulator), true, nil
}

// Clear removes all values.
func (s *Aggregating[T, ACC, R]) Clear() error { return s.accumulator.Clear() }
