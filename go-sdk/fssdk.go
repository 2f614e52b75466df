// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

// Package fssdk is for writing functions of Function Stream in Go.
//
// A function is a type that implements Driver, or embeds BaseDriver and writes the methods that matter, and is registered in
// an init function:
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
// "function-stream build" makes a WebAssembly component of it. The component speaks two worlds: whole batches, which is what
// Function Stream uses, and functionstream:core@0.1.0, one call per record, for other hosts. A driver does not see which.
//
// Package fstest runs a driver in plain "go test".
package fssdk

import (
	"github.com/functionstream/function-stream/go-sdk/api"
	"github.com/functionstream/function-stream/go-sdk/impl"
)

// Driver is a function; see api.Driver for when its methods are called.
type Driver = api.Driver

// BaseDriver does nothing in all methods of a Driver; embed it.
type BaseDriver = api.BaseDriver

// Module is code or data that Exec hands to a function.
type Module = api.Module

// Context is what a driver does beside computing: emit, and open state.
type Context = api.Context

// Record is all of a record, not only its value.
type Record = api.Record

// Header is a name with a value, of a Record.
type Header = api.Header

// RecordContext is a Context that knows keys, headers and times. The context is one where Function Stream calls.
type RecordContext = api.RecordContext

// Timer is a timer that is due.
type Timer = api.Timer

// TimeDomain is what the time of a timer is compared with.
type TimeDomain = api.TimeDomain

// The domains of timers.
const (
	// EventTime is the function's watermark: a timer is due when no record older than its time is expected from any input.
	EventTime = api.EventTime
	// ProcessingTime is the machine's clock.
	ProcessingTime = api.ProcessingTime
)

// TimerDriver is what a Driver has beside that sets timers.
type TimerDriver = api.TimerDriver

// TimerContext is a Context that sets timers. Those of the SDK are ones.
type TimerContext = api.TimerContext

// Store is keyed state of the task.
type Store = api.Store

// ComplexKey is a key of four parts.
type ComplexKey = api.ComplexKey

// Iterator gives the pairs of a scan.
type Iterator = api.Iterator

// ErrorCode tells what kind of error an SDKError is.
type ErrorCode = api.ErrorCode

// SDKError is every error that the SDK itself makes.
type SDKError = api.SDKError

// The codes of SDKError.
const (
	// ErrRuntimeInvalidDriver says that Run was given no driver, or two, or was not called.
	ErrRuntimeInvalidDriver = api.ErrRuntimeInvalidDriver
	// ErrRuntimeNotInitialized says that Init was not called, or failed.
	ErrRuntimeNotInitialized = api.ErrRuntimeNotInitialized
	// ErrRuntimeClosed says that the function, or its context, was closed.
	ErrRuntimeClosed = api.ErrRuntimeClosed
	// ErrStoreInvalidName says that a store's name is not 1 to 255 bytes of UTF-8.
	ErrStoreInvalidName = api.ErrStoreInvalidName
	// ErrStoreInternal says that the store refused a call, or that an iterator was closed.
	ErrStoreInternal = api.ErrStoreInternal
	// ErrStoreNotFound says that the store's handle was closed.
	ErrStoreNotFound = api.ErrStoreNotFound
	// ErrStoreIO says that the store could not read or write.
	ErrStoreIO = api.ErrStoreIO
	// ErrResultUnexpected says that the host refused, called or answered what the SDK did not expect.
	ErrResultUnexpected = api.ErrResultUnexpected
	// ErrTimerUnavailable says that there are no timers: the driver does not implement TimerDriver, or the world has none.
	ErrTimerUnavailable = api.ErrTimerUnavailable
	// ErrTimerInvalid says that a timer's key is too long, or its domain unknown.
	ErrTimerInvalid = api.ErrTimerInvalid
)

// Run makes a driver the function of this program. Call it once, from an init function. It returns at once.
//
// A mistake here (no driver, or a second one) is told by the function's status: it fails to start with
// ErrRuntimeInvalidDriver.
func Run(driver Driver) { impl.Run(driver) }
