// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

package api

// Context is what a driver does beside computing. It is the same one in all calls of an instance, and may be kept.
type Context interface {
	// Emit sends a value to the output of that index, with the time of the record in process. The bytes are copied.
	//
	// An output that the function does not have is an error (in the per-record world it ends the call, and so fails the
	// record). Values are passed on together at the end of the batch.
	Emit(targetID uint32, data []byte) error

	// EmitWatermark tells an output that no record older than watermark, in milliseconds since the Unix epoch, will follow.
	EmitWatermark(targetID uint32, watermark uint64) error

	// GetOrCreateStore opens a store of the task by its name, 1 to 255 bytes of UTF-8. Stores of one name are the same store.
	GetOrCreateStore(name string) (Store, error)

	// Config is a copy of the function's configuration.
	Config() map[string]string

	// Close ends the context: everything that is asked of it or its stores later gives ErrRuntimeClosed. The runtime does
	// this after Driver.Close; a driver need not.
	Close() error
}
