// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

// Package structures has typed states: a value, a list, a map, a priority queue, an aggregate and a reduction. Create each from the
// context, by the name of a store. A store has one state of each kind, and states of different kinds do not touch each other. For
// states by key, see package keyed.
//
// The states are as durable as their store; see api.Store. The SDK remembers what they read and write, so a hot key does not cost a
// call of the host each time.
package structures

import (
	"errors"

	"github.com/functionstream/function-stream/go-sdk-advanced/internal/state"
	"github.com/functionstream/function-stream/go-sdk/api"
)

func open(ctx api.Context, storeName string, codecs ...any) (api.Store, error) {
	for _, codec := range codecs {
		if codec == nil {
			return nil, errors.New("a state needs a codec")
		}
	}
	return state.Open(ctx, storeName)
}
