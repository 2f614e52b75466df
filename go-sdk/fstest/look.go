// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

package fstest

import (
	"slices"

	"github.com/functionstream/function-stream/go-sdk/api"
	"github.com/functionstream/function-stream/go-sdk/impl"
)

// This file has what a test can look at. Nothing here changes what the function sees.

// Emitted returns everything that was emitted, in order, including the open epoch.
func (h *Host) Emitted() []Emitted { return slices.Clone(h.memory.emitted) }

// Committed returns what was emitted up to the last checkpoint.
func (h *Host) Committed() []Emitted { return slices.Clone(h.memory.emitted[:h.memory.keptEmitted]) }

// TakeEmitted ends the epoch, then returns and forgets everything that was emitted.
func (h *Host) TakeEmitted() ([]Emitted, error) {
	if err := h.Checkpoint(); err != nil {
		return nil, err
	}
	emitted := h.memory.emitted
	h.memory.emitted, h.memory.keptEmitted = nil, 0
	return emitted, nil
}

// Values returns what was emitted to output 0 as strings. A null value is an empty string.
func (h *Host) Values() []string {
	values := []string{}
	for _, emitted := range h.memory.emitted {
		if emitted.Target == 0 {
			values = append(values, string(emitted.Value))
		}
	}
	return values
}

// Watermarks returns the watermarks that were emitted.
func (h *Host) Watermarks() []Watermark { return slices.Clone(h.memory.watermarks) }

// State shows a test what is in a store, including the writes of the open epoch. A store that the function has not opened is empty.
type State struct {
	name string
	host *Host
}

// State returns a view of the store with that name.
func (h *Host) State(name string) State { return State{name: name, host: h} }

// get looks beside the function's own cache, which has passed on all writes when a call has ended.
func (s State) get(key []byte) (value []byte, found bool) {
	if store := s.host.memory.stores[s.name]; store != nil {
		value, found, _ = store.Get(key)
	}
	return value, found
}

// Get returns the value of a simple key, and whether the key is there.
func (s State) Get(key string) (value []byte, found bool) {
	return s.get(impl.SimpleKey([]byte(key)))
}

// GetComplex returns the value of a complex key, and whether the key is there.
func (s State) GetComplex(key api.ComplexKey) (value []byte, found bool) {
	return s.get(impl.ComplexKey(key))
}

// Keys returns the simple keys in order.
func (s State) Keys() []string {
	keys := []string{}
	if store := s.host.memory.stores[s.name]; store != nil {
		for _, key := range store.between("\x00", "\x01") {
			keys = append(keys, key[1:])
		}
	}
	return keys
}

// Len returns the number of keys, simple and complex.
func (s State) Len() int {
	if store := s.host.memory.stores[s.name]; store != nil {
		return len(store.values)
	}
	return 0
}
