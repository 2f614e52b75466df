// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

// Package fssdk helps you write functions for Function Stream in Go.
//
// A function is a type that implements Driver. Embed BaseDriver to write only the methods that you need, and register the type
// in an init function:
//
//	package main
//
//	import fssdk "github.com/functionstream/function-stream/go-sdk"
//
//	func init() { fssdk.Run(&Greeter{}) }
//
//	type Greeter struct{ fssdk.BaseDriver }
//
//	func (g *Greeter) Process(ctx fssdk.Context, sourceID uint32, data []byte) error {
//		return ctx.Emit(0, append([]byte("hello "), data...))
//	}
//
//	func main() {}
//
// The command "function-stream build" compiles the program to a WebAssembly component. The component has two worlds: the packed
// world, which takes whole batches and is what Function Stream uses, and functionstream:core@0.1.0, which takes one record per
// call and is there for other hosts. A driver works the same in both.
//
// Package fstest runs a driver in "go test", without a server.
package fssdk

import (
	"github.com/functionstream/function-stream/go-sdk/api"
	"github.com/functionstream/function-stream/go-sdk/impl"
)

// Driver is the interface that a function implements. See api.Driver for when its methods are called.
type Driver = api.Driver

// BaseDriver implements Driver with methods that do nothing. Embed it and write the methods that you need.
type BaseDriver = api.BaseDriver

// Module is code or data that Driver.Exec receives.
type Module = api.Module

// Context lets a driver emit records, open state and read its configuration.
type Context = api.Context

// Record is a whole record: its value with its key, headers and time.
type Record = api.Record

// Header is one header of a Record.
type Header = api.Header

// RecordContext is implemented by contexts that know keys, headers, times and null values. In Function Stream every Context is one.
type RecordContext = api.RecordContext

// Metadata is what is known of the function and its task.
type Metadata = api.Metadata

// MetadataContext is implemented by contexts that know the function and its task. In Function Stream every Context is one.
type MetadataContext = api.MetadataContext

// Timer is a timer that is due.
type Timer = api.Timer

// TimeDomain says which clock a timer follows.
type TimeDomain = api.TimeDomain

// The domains of timers.
const (
	// EventTime is the function's watermark. A timer is due when no input is expected to bring a record older than the timer.
	EventTime = api.EventTime
	// ProcessingTime is the machine's clock.
	ProcessingTime = api.ProcessingTime
)

// TimerDriver is implemented by drivers that set timers.
type TimerDriver = api.TimerDriver

// TimerContext is a Context that sets timers. Every Context that the SDK passes implements it.
type TimerContext = api.TimerContext

// Store is the keyed state of a task.
type Store = api.Store

// RangeStore is a Store that lists keys up to the last one. Every Store that the SDK passes implements it.
type RangeStore = api.RangeStore

// OrderedStore is a Store that scans and deletes ranges of keys, and appends to values of simple keys. In Function Stream every Store is
// one.
type OrderedStore = api.OrderedStore

// ComplexKey is a key of four parts.
type ComplexKey = api.ComplexKey

// Iterator reads the pairs of a scan one by one.
type Iterator = api.Iterator

// ErrorCode is the kind of an SDKError.
type ErrorCode = api.ErrorCode

// SDKError is the type of every error that the SDK itself creates.
type SDKError = api.SDKError

// The codes of SDKError.
const (
	// ErrRuntimeInvalidDriver means that Run was called with nil, was called twice, or was not called.
	ErrRuntimeInvalidDriver = api.ErrRuntimeInvalidDriver
	// ErrRuntimeNotInitialized means that Init was not called or failed.
	ErrRuntimeNotInitialized = api.ErrRuntimeNotInitialized
	// ErrRuntimeClosed means that the function or its context is closed.
	ErrRuntimeClosed = api.ErrRuntimeClosed
	// ErrStoreInvalidName means that a store's name is not 1 to 255 bytes of UTF-8.
	ErrStoreInvalidName = api.ErrStoreInvalidName
	// ErrStoreInternal means that the store refused a call, or that an iterator is closed.
	ErrStoreInternal = api.ErrStoreInternal
	// ErrStoreNotFound means that the store's handle is closed.
	ErrStoreNotFound = api.ErrStoreNotFound
	// ErrStoreIO means that the store could not read or write.
	ErrStoreIO = api.ErrStoreIO
	// ErrResultUnexpected means that the host refused what was emitted, or did something that the SDK does not expect.
	ErrResultUnexpected = api.ErrResultUnexpected
	// ErrTimerUnavailable means that the driver does not implement TimerDriver, or that the host's world has no timers.
	ErrTimerUnavailable = api.ErrTimerUnavailable
	// ErrTimerInvalid means that a timer's key is too long or its domain unknown.
	ErrTimerInvalid = api.ErrTimerInvalid
)

// Run registers driver as the function of this program and returns at once. Call it exactly once, from an init function.
//
// If Run is called with nil or twice, the function fails to start with ErrRuntimeInvalidDriver, which its status shows.
func Run(driver Driver) { impl.Run(driver) }
