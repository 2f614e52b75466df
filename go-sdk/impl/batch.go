// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

package impl

import (
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/functionstream/function-stream/go-sdk/api"
)

// mostEmitted is how many bytes of emitted records are gathered before they are passed on in the middle of a batch.
const mostEmitted = 1 << 20

// Batch is the packed world: emitted records and writes of state are gathered, and passed on at the end of each call.
type Batch struct {
	contextBase
	host     Host
	metadata api.Metadata
	outputs  uint32
	// The frame whose records are in process, nil between them; which record of it; and the time of what is emitted.
	frame     *frame
	index     int
	timestamp int64
	emitted   frameBuilder
	caches    []*cache
	// What the record in process emitted begins behind so many records. passedOn says that something of what it did is with the
	// host, so that it cannot be undone any more.
	before   int
	passedOn bool
	// The driver is called when a timer is due.
	listens bool
	// What went wrong when things were passed on. It is no fault of the record in process, and the instance is of no use
	// afterwards, whatever the driver makes of the error.
	fault error
}

var (
	_ api.RecordContext   = (*Batch)(nil)
	_ api.MetadataContext = (*Batch)(nil)
)

// NewBatch returns the packed world of a function.
func NewBatch(host Host, config map[string]string, metadata api.Metadata) *Batch {
	outputs := uint32(len(metadata.Outputs))
	return &Batch{contextBase: contextBase{config: config}, host: host, metadata: metadata, outputs: outputs}
}

// Metadata returns a copy, so a driver that changes it changes only its own.
func (b *Batch) Metadata() api.Metadata {
	metadata := b.metadata
	metadata.Outputs = slices.Clone(metadata.Outputs)
	return metadata
}

// Emit gathers a record.
func (b *Batch) Emit(target uint32, data []byte) error {
	if b.closed {
		return errClosed()
	}
	if target >= b.outputs {
		return noOutput(target, b.outputs)
	}
	if err := b.room(len(data)); err != nil {
		return err
	}
	b.emitted.push(target, b.timestamp, data)
	return nil
}

// EmitRecord gathers a record with its key, headers and time.
func (b *Batch) EmitRecord(target uint32, record api.Record) error {
	if b.closed {
		return errClosed()
	}
	if target >= b.outputs {
		return noOutput(target, b.outputs)
	}
	if record.Null && len(record.Value) > 0 {
		return api.NewError(api.ErrResultUnexpected, "a record with a null value has "+strconv.Itoa(len(record.Value))+" bytes of value")
	}
	size := len(record.Key) + len(record.Value)
	for _, header := range record.Headers {
		if len(header.Name) > mostName || !utf8.ValidString(header.Name) {
			return api.NewError(api.ErrResultUnexpected, "the name of a header is at most 65,535 bytes of utf-8")
		}
		size += len(header.Name) + len(header.Value)
	}
	if err := b.room(size); err != nil {
		return err
	}
	b.emitted.pushRecord(target, record)
	return nil
}

// room passes on what was gathered when so many bytes more would be too many.
func (b *Batch) room(size int) error {
	if b.emitted.length() > 0 && b.emitted.length()+size > mostEmitted {
		return b.flushEmitted()
	}
	return nil
}

// Record returns the record in process.
func (b *Batch) Record() api.Record {
	if b.frame == nil {
		return api.Record{}
	}
	return api.Record{
		Key:       b.frame.key(b.index),
		Headers:   b.frame.headers(b.index),
		Timestamp: b.timestamp,
		Value:     b.frame.value(b.index),
		Null:      b.frame.null(b.index),
	}
}

// EmitWatermark passes on what was emitted before it, since that may be older, and then the watermark.
func (b *Batch) EmitWatermark(target uint32, watermark uint64) error {
	if b.closed {
		return errClosed()
	}
	if target >= b.outputs {
		return noOutput(target, b.outputs)
	}
	if err := b.flushEmitted(); err != nil {
		return err
	}
	b.passedOn = true
	return b.host.EmitWatermark(target, watermark)
}

// GetOrCreateStore opens a store.
func (b *Batch) GetOrCreateStore(name string) (api.Store, error) {
	opened, err := b.open(name, func() (Backend, error) {
		host, err := b.host.OpenStore(name)
		if err != nil {
			return nil, err
		}
		cache := newCache(host, &b.fault)
		b.caches = append(b.caches, cache)
		return &cachedStore{cache: cache}, nil
	})
	if err != nil {
		return nil, err
	}
	return &orderedStore{opened, opened.backend.(*cachedStore)}, nil
}

// Flush passes everything on.
func (b *Batch) Flush() error {
	if err := b.flushEmitted(); err != nil {
		return err
	}
	for _, cache := range b.caches {
		if err := cache.flush(); err != nil {
			return err
		}
	}
	return b.fault
}

// begin is called before each record. What the record does from then on can be undone.
func (b *Batch) begin() {
	b.before, b.passedOn = len(b.emitted.records), false
	for _, cache := range b.caches {
		cache.begin()
	}
}

// undo takes back what the record that began last did, passes on what those before it did, and reports whether it could do so.
func (b *Batch) undo() bool {
	if b.passedOn || b.closed || b.fault != nil {
		return false
	}
	for _, cache := range b.caches {
		if !cache.undo() {
			return false
		}
	}
	b.emitted.truncate(b.before)
	return b.Flush() == nil
}

func (b *Batch) flushEmitted() error {
	if b.fault != nil || b.emitted.empty() {
		return b.fault
	}
	b.passedOn = b.passedOn || len(b.emitted.records) > b.before
	b.before = 0
	if err := b.host.EmitFrame(b.emitted.frame()); err != nil {
		b.fault = err
	}
	b.emitted.clear()
	return b.fault
}

func noOutput(target, outputs uint32) error {
	return api.NewError(api.ErrResultUnexpected,
		"emitted to output "+strconv.Itoa(int(target))+", but the function has "+strconv.Itoa(int(outputs)))
}
