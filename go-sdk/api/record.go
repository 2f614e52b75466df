// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

package api

// Record is all of a record, not only its value.
type Record struct {
	// Key of the record; nil when it has none, which is not the same as an empty one.
	Key []byte
	// Headers in order; names may repeat.
	Headers []Header
	// Timestamp in milliseconds since the Unix epoch.
	Timestamp int64
	// Value is the payload.
	Value []byte
}

// Header is a name with a value.
type Header struct {
	// Name is UTF-8 of at most 65,535 bytes.
	Name string
	// Value may be any bytes.
	Value []byte
}

// RecordContext is a Context that knows whole records. The context is one in the packed world, which is what Function Stream
// calls; the per-record world has no keys, headers and times. So ask:
//
//	if records, ok := ctx.(fssdk.RecordContext); ok {
//		key = records.Record().Key
//	}
type RecordContext interface {
	Context

	// Record is the record in process; the zero Record outside of Driver.Process. Its bytes may be kept and changed.
	Record() Record

	// EmitRecord sends a record to the output of that index, with its own time. Like Context.Emit otherwise.
	EmitRecord(targetID uint32, record Record) error
}
