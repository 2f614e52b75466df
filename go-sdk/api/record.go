// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

package api

// Record is a whole record: its value with its key, headers and time.
type Record struct {
	// Key is the record's key, or nil if it has none. An empty key is a key.
	Key []byte
	// Headers are the record's headers in order. Names may repeat.
	Headers []Header
	// Timestamp is the record's time in milliseconds since the Unix epoch.
	Timestamp int64
	// Value is the payload. It is empty if the value is null.
	Value []byte
	// Null reports whether the value is null, which is not the same as empty. A record with a key and a null value is a
	// tombstone: a compacted topic deletes what the key stood for. A null value has no bytes: EmitRecord returns an error for
	// a record that is Null and has a Value.
	Null bool
}

// Header is one header of a Record.
type Header struct {
	// Name is at most 65,535 bytes of UTF-8.
	Name string
	// Value is any bytes.
	Value []byte
}

// RecordContext is implemented by contexts that know whole records. In Function Stream every Context is one. Hosts of the
// per-record world have values alone, so ask:
//
//	if records, ok := ctx.(fssdk.RecordContext); ok {
//		key = records.Record().Key
//	}
type RecordContext interface {
	Context

	// Record returns the record in process. Its bytes may be kept and changed. Outside of Driver.Process it returns the zero
	// Record.
	Record() Record

	// EmitRecord sends a record to the output with that index, with the record's own time. Otherwise it is like Context.Emit.
	EmitRecord(targetID uint32, record Record) error
}
