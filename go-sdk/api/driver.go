// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

// Package api has the interfaces between a function and Function Stream. Functions use them through package fssdk.
package api

// Driver is a function. Its methods are called one at a time, in this order: Init once, then the others as records,
// watermarks and epochs come, then Close.
//
// What a call emits and writes to state becomes durable and visible at the end of the epoch, together with the positions of
// the records, or not at all. When a call fails, the epoch is abandoned and the instance with it: a new instance is made,
// initialized, and given the records since the last commit again. So a driver never has to undo anything, and its own
// fields must be rebuilt by Init.
type Driver interface {
	// Init is called once, before anything else. An error stops the function, and its text is shown in the function's status.
	Init(ctx Context, config map[string]string) error

	// Process is called for each record, with the index of its input group and its value. The value may be kept and changed.
	// An error, or a panic, fails this record and no other.
	Process(ctx Context, sourceID uint32, data []byte) error

	// ProcessWatermark tells that no record older than watermark, in milliseconds since the Unix epoch, is expected from any
	// input. It only rises; sourceID is the input group that held it back until now. Timers of event time that it made due have
	// fired before. After an error it is told again until that succeeds, like a timer.
	ProcessWatermark(ctx Context, sourceID uint32, watermark uint64) error

	// TakeCheckpoint is called at the end of each epoch. What is emitted and written here still belongs to it.
	TakeCheckpoint(ctx Context, checkpointID uint64) error

	// CheckHeartbeat is called now and then. False has the instance replaced, from the last commit on.
	CheckHeartbeat(ctx Context) bool

	// Close is called once, when the function stops. It is not called when the process dies.
	Close(ctx Context) error

	// Exec hands modules, which are code or data, to a function that takes them.
	Exec(ctx Context, className string, modules []Module) error

	// Custom answers a request of the user's own form.
	Custom(ctx Context, payload []byte) ([]byte, error)
}

// Module is something that Exec hands to a function.
type Module struct {
	// Name is its name.
	Name string
	// Bytes is its content.
	Bytes []byte
}

// BaseDriver does nothing in all methods of a Driver. Embed it, and write those that matter.
type BaseDriver struct{}

// Init does nothing.
func (BaseDriver) Init(Context, map[string]string) error { return nil }

// Process drops the record.
func (BaseDriver) Process(Context, uint32, []byte) error { return nil }

// ProcessWatermark does nothing.
func (BaseDriver) ProcessWatermark(Context, uint32, uint64) error { return nil }

// TakeCheckpoint does nothing.
func (BaseDriver) TakeCheckpoint(Context, uint64) error { return nil }

// CheckHeartbeat says that the function is well.
func (BaseDriver) CheckHeartbeat(Context) bool { return true }

// Close does nothing.
func (BaseDriver) Close(Context) error { return nil }

// Exec does nothing.
func (BaseDriver) Exec(Context, string, []Module) error { return nil }

// Custom answers a copy of the request.
func (BaseDriver) Custom(_ Context, payload []byte) ([]byte, error) {
	return append([]byte{}, payload...), nil
}
