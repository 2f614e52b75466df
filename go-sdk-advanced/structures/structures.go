// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

// Package structures has states that are more than bytes: a value, a list, a map, a priority queue, an aggregate and a
// reduction. Each is made from the context, by the name of a store. A store has one state of each kind, which states of other
// kinds in it leave alone; the states of package keyed have keys in addition.
//
// They are as durable as the store: see api.Store. What they read and write is known within a batch, so that a hot key does not
// cross the boundary each time.
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
