// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

// Package api defines the interfaces between a function and Function Stream. Functions use them through package fssdk.
package api

// Driver is the interface that a function implements. The runtime calls its methods one at a time: first Init, once; then the
// others as records, watermarks and epochs come; finally Close.
//
// Whatever a call emits and writes to state becomes durable and visible at the end of the epoch, together with the positions of
// the records, or not at all. If a call fails, the runtime drops the epoch and the instance. It then creates and initializes a new
// instance, and gives it the records since the last commit again. So a driver never has to undo what it emits, writes and sets. It
// must not keep anything in its own fields that Init cannot rebuild.
//
// An error that Process returns is cheaper: the runtime undoes what the record emitted and wrote, and mostly keeps the instance. The
// driver's own fields then stay as Process left them. See Process.
type Driver interface {
	// Init is called once, before any other method. If it returns an error, the function does not start, and its status shows the
	// error's text.
	Init(ctx Context, config map[string]string) error

	// Process handles one record: sourceID is the index of its input group, data its value. A null value is an empty slice;
	// RecordContext tells the two apart. The driver may keep and change data. An error or a panic fails this record and no other.
	//
	// After an error the next record, or the same one if it is retried, mostly comes to the same instance. So change fields last,
	// when nothing can fail any more. If fields may be half changed, panic instead of returning the error: after a panic a new
	// instance goes on from the last commit.
	Process(ctx Context, sourceID uint32, data []byte) error

	// ProcessWatermark reports that no input is expected to bring a record older than watermark, in milliseconds since the Unix
	// epoch. Watermarks only rise. sourceID is the input group that held this one back until now. The timers of event time that
	// it made due have fired already. If ProcessWatermark returns an error, it is called again until it succeeds, like a timer.
	ProcessWatermark(ctx Context, sourceID uint32, watermark uint64) error

	// TakeCheckpoint is called at the end of each epoch. What it emits and writes still belongs to that epoch.
	TakeCheckpoint(ctx Context, checkpointID uint64) error

	// CheckHeartbeat reports whether the instance is well. If it returns false, a new instance goes on from the last commit.
	CheckHeartbeat(ctx Context) bool

	// Close is the last call of an instance. It comes when the function stops, and when the instance has been idle for a while and
	// has much memory: the runtime then gives its memory back, and initializes a new instance for the next record or timer. Close
	// is not called if the process dies.
	Close(ctx Context) error

	// Exec receives modules, which are code or data, from a user of the function.
	Exec(ctx Context, className string, modules []Module) error

	// Custom answers a request from a user of the function. Its form is up to the function.
	Custom(ctx Context, payload []byte) ([]byte, error)
}

// Module is code or data that Driver.Exec receives.
type Module struct {
	// Name is the module's name.
	Name string
	// Bytes is the module's content.
	Bytes []byte
}

// BaseDriver implements Driver with methods that do nothing. Embed it and write the methods that you need.
type BaseDriver struct{}

// Init does nothing.
func (BaseDriver) Init(Context, map[string]string) error { return nil }

// Process drops the record.
func (BaseDriver) Process(Context, uint32, []byte) error { return nil }

// ProcessWatermark does nothing.
func (BaseDriver) ProcessWatermark(Context, uint32, uint64) error { return nil }

// TakeCheckpoint does nothing.
func (BaseDriver) TakeCheckpoint(Context, uint64) error { return nil }

// CheckHeartbeat returns true.
func (BaseDriver) CheckHeartbeat(Context) bool { return true }

// Close does nothing.
func (BaseDriver) Close(Context) error { return nil }

// Exec does nothing.
func (BaseDriver) Exec(Context, string, []Module) error { return nil }

// Custom returns a copy of the request.
func (BaseDriver) Custom(_ Context, payload []byte) ([]byte, error) {
	return append([]byte{}, payload...), nil
}
