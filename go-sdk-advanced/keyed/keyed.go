// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

// Package keyed has the states of package structures for many keys. Create a factory in Init, from the context, the name of a store
// and a key group. The factory returns the state of a primary key and a namespace as often as you need it.
//
// States that differ in key group, key, namespace or kind never meet, whatever bytes these consist of.
package keyed

import (
	"errors"

	"github.com/functionstream/function-stream/go-sdk-advanced/internal/state"
	"github.com/functionstream/function-stream/go-sdk/api"
)

var errNoFunction = errors.New("a state of this kind needs its function")

// place is what all factories have in common.
type place struct {
	store    api.Store
	keyGroup []byte
}

func open(ctx api.Context, storeName string, keyGroup []byte, codecs ...any) (place, error) {
	for _, codec := range codecs {
		if codec == nil {
			return place{}, errors.New("a state needs a codec")
		}
	}
	store, err := state.Open(ctx, storeName)
	return place{store, append([]byte{}, keyGroup...)}, err
}

func (p place) at(kind state.Kind, primaryKey, namespace []byte) state.Place {
	return state.Keyed(p.store, kind, p.keyGroup, primaryKey, namespace)
}
