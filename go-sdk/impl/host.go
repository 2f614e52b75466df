// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

// Package impl carries out what package api promises. It is not for functions to import, except through package fssdk.
//
// Runtime takes the host's calls and gives them to the driver. What the driver does goes to a World: Batch, which gathers
// records and writes and passes them on in few calls of the packed world's Host, or, in a component, the per-record world,
// where each is a call of its own.
package impl

import "github.com/functionstream/function-stream/go-sdk/api"

// Host is the packed world's side of the boundary. Slices that it is given are only valid during the call; those that it
// gives are the caller's.
type Host interface {
	// EmitFrame emits the records of a frame, all or none.
	EmitFrame(frame []byte) error
	// EmitWatermark tells an output that no older record will follow.
	EmitWatermark(target uint32, watermark uint64) error
	// SetTimer sets a timer, or moves it.
	SetTimer(domain api.TimeDomain, key []byte, at int64) error
	// DeleteTimer deletes a timer; one that is not set is none.
	DeleteTimer(domain api.TimeDomain, key []byte) error
	// OpenStore opens a store by its name.
	OpenStore(name string) (StoreHost, error)
}

// StoreHost is one store of a Host. Keys are complete: see the packed world for their two forms.
type StoreHost interface {
	// Get is the value of a key, own writes included.
	Get(key []byte) (value []byte, found bool, err error)
	// Write applies an op list in order.
	Write(ops []byte) error
	// Scan is a page of pairs from start to end, exclusive, as a pair list, and where the next page starts; nil when this is
	// the last one.
	Scan(start, end []byte, maxBytes uint32) (pairs, next []byte, err error)
}

// World is what a driver's calls go to.
type World interface {
	api.Context
	// Flush passes on what a call did. Called at the end of each.
	Flush() error
	// shut ends the context, so that all its calls give ErrRuntimeClosed.
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
}
