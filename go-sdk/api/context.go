// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

package api

// Context lets a driver emit records, open state and read its configuration. All calls of an instance get the same Context, and a
// driver may keep it.
type Context interface {
	// Emit sends a value to the output with that index, with the time of the record in process. It copies the bytes.
	//
	// Emit returns an error if the function has no such output. (In the per-record world the host ends the call instead, which
	// fails the record.) What a batch emits reaches the host at the end of the batch.
	Emit(targetID uint32, data []byte) error

	// EmitWatermark promises an output that no record older than watermark will follow. The watermark is in milliseconds since
	// the Unix epoch.
	EmitWatermark(targetID uint32, watermark uint64) error

	// GetOrCreateStore opens the store of the task with that name, which must be 1 to 255 bytes of UTF-8. Opening a name twice
	// gives the same store.
	GetOrCreateStore(name string) (Store, error)

	// Config returns a copy of the function's configuration.
	Config() map[string]string

	// Close closes the context. Later calls of its methods, and of its stores, return ErrRuntimeClosed. The runtime closes the
	// context after Driver.Close; a driver need not do it.
	Close() error
}
