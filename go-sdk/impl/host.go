// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

// Package impl implements what package api promises. Functions use it only through package fssdk.
//
// Runtime passes the host's calls to the driver. What the driver does goes to a World: to Batch, which gathers records and writes and
// passes them to the packed world's Host in few calls, or, in a component, to the per-record world, where each is a call of its own.
package impl

import "github.com/functionstream/function-stream/go-sdk/api"

// Host is the packed world's side of the boundary. The slices that it is given are valid only during the call; those that it returns
// belong to the caller.
type Host interface {
	// EmitFrame emits the records of a frame, all or none.
	EmitFrame(frame []byte) error
	// EmitWatermark promises an output that no older record will follow.
	EmitWatermark(target uint32, watermark uint64) error
	// SetTimer sets a timer, or moves it.
	SetTimer(domain api.TimeDomain, key []byte, at int64) error
	// DeleteTimer deletes a timer. It does nothing if the timer is not set.
	DeleteTimer(domain api.TimeDomain, key []byte) error
	// OpenStore opens a store by its name.
	OpenStore(name string) (StoreHost, error)
}

// StoreHost is one store of a Host. Keys are complete: see the packed world for their two forms.
type StoreHost interface {
	// Get returns the value of a key, own writes included.
	Get(key []byte) (value []byte, found bool, err error)
	// Write applies an op list in order.
	Write(ops []byte) error
	// Scan returns a page of the pairs from start to end, exclusive, as a pair list, and the start of the next page, which is nil
	// if this is the last one.
	Scan(start, end []byte, maxBytes uint32) (pairs, next []byte, err error)
}

// World is the Context of a driver, and what the runtime does with it.
type World interface {
	api.Context
	// Flush passes on what a call did. The runtime calls it at the end of each call.
	Flush() error
	// shut closes the context: its methods return ErrRuntimeClosed from then on.
	shut()
}

// Backend is a store of a World.
type Backend interface {
	PutState(key, value []byte) error
	GetState(key []byte) (value []byte, found bool, err error)
	DeleteState(key []byte) error
	ListStates(startInclusive, endExclusive []byte) ([][]byte, error)
	Put(key api.ComplexKey, value []byte) error
	Get(key api.ComplexKey) (value []byte, found bool, err error)
	Delete(key api.ComplexKey) error
	Merge(key api.ComplexKey, value []byte) error
	DeletePrefix(key api.ComplexKey) error
	ListComplex(keyGroup, key, namespace, startInclusive, endExclusive []byte) ([][]byte, error)
	ScanComplex(keyGroup, key, namespace []byte) (api.Iterator, error)
	ListStatesFrom(startInclusive []byte) ([][]byte, error)
	ListComplexFrom(keyGroup, key, namespace, startInclusive []byte) ([][]byte, error)
}
