// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

// Package fstest runs a driver in "go test", without a server and without WebAssembly.
//
// A Host does in memory what Function Stream does with a function: it initializes an instance, gives it batches of records,
// ends epochs, and creates a new instance if something fails. With the old instance goes what was emitted and written since the
// last checkpoint, and the new one gets the records since then again. So a test finds a driver that keeps in its fields what
// belongs into state. If Process returns an error, the instance stays, with its fields as Process left them, and only what the failed
// record emitted and wrote is gone.
//
//	host, err := fstest.New(func() fssdk.Driver { return &Counter{} }, fstest.Options{})
//	err = host.Send("a", "b", "a")
//	err = host.Restart()
//	emitted := host.TakeEmitted()
//
// The scenario files in tests/sdk of the repository check both this package and the real host.
package fstest

import (
	"errors"
	"fmt"

	"github.com/functionstream/function-stream/go-sdk/api"
	"github.com/functionstream/function-stream/go-sdk/impl"
)

// Options configures a Host.
type Options struct {
	// Config is the configuration that Init gets.
	Config map[string]string
	// Outputs is the number of outputs of the function; 0 means one.
	Outputs int
	// Inputs is the number of input groups of the function; 0 means one. Event time begins when each of them has a watermark.
	Inputs int
}

// Record is a record that the function gets.
type Record struct {
	// Source is the index of the input group.
	Source uint32
	// Key is the record's key, or nil if it has none.
	Key []byte
	// Headers are the record's headers in order.
	Headers []api.Header
	// Timestamp is the record's time in milliseconds since the Unix epoch.
	Timestamp int64
	// Value is the payload.
	Value []byte
	// Null makes the value null. Value must be empty then.
	Null bool
}

// RecordError is the failure of one record of a batch.
type RecordError struct {
	// Index is the index of the record in its batch.
	Index int
	// Err is the error that the driver returned, or its panic.
	Err error
}

// Error returns the index and the reason.
func (e *RecordError) Error() string { return fmt.Sprintf("record %d: %v", e.Index, e.Err) }

// Unwrap returns the reason.
func (e *RecordError) Unwrap() error { return e.Err }

// Host runs one task of a function.
type Host struct {
	factory func() api.Driver
	options Options
	memory  *memory
	runtime *impl.Runtime
	// What the instance was given since the last checkpoint, to be given again.
	journal []func() error
	epoch   uint64
	stopped bool
	// The watermarks of the input groups, the one that the driver was told, and the machine's clock; nil while there is none.
	watermarks map[uint32]uint64
	told       *uint64
	clock      *int64
	// The way to the next watermark has begun, with the timers that were queued up to that turn.
	climbing bool
	queued   uint64
}

// New creates a Host and the first instance of the function. It calls factory for each instance; factory must return a new driver
// each time.
func New(factory func() api.Driver, options Options) (*Host, error) {
	if options.Outputs == 0 {
		options.Outputs = 1
	}
	if options.Inputs == 0 {
		options.Inputs = 1
	}
	host := &Host{factory: factory, options: options, memory: newMemory(), watermarks: map[uint32]uint64{}}
	return host, host.start()
}

// start makes an instance as of the last checkpoint.
func (h *Host) start() error {
	h.memory.rollback()
	h.runtime = &impl.Runtime{}
	h.runtime.Register(h.factory())
	config := map[string]string{}
	for key, value := range h.options.Config {
		config[key] = value
	}
	metadata := api.Metadata{Name: "test", Revision: 1}
	for i := range h.options.Outputs {
		metadata.Outputs = append(metadata.Outputs, fmt.Sprint("output-", i))
	}
	return h.runtime.Init(impl.NewBatch(h.memory, config, metadata), config)
}

// Send processes values of input group 0 as one batch.
func (h *Host) Send(values ...string) error {
	records := make([]Record, len(values))
	for i, value := range values {
		records[i].Value = []byte(value)
	}
	return h.Process(records...)
}

// Process gives records to the function as one batch, then fires the timers that are due. A record that fails is left out, as
// with the error policy "skip", and all others are processed. The error joins a RecordError for each record that failed, and a
// TimerError if a timer failed.
func (h *Host) Process(records ...Record) error {
	// One that failed before.
	if err := h.advance(); err != nil {
		return err
	}
	failures := h.process(records, 0)
	if err := h.advance(); err != nil {
		failures = append(failures, err)
	}
	return errors.Join(failures...)
}

// process gives the errors of records, of which the first has the index base in its batch.
func (h *Host) process(records []Record, base int) []error {
	if len(records) == 0 {
		return nil
	}
	index, undone, err := h.batch(records)
	if err == nil {
		h.keepBatch(records)
		return nil
	}
	if undone {
		at := int(index)
		h.keepBatch(records[:at])
		failures := []error{&RecordError{Index: base + at, Err: err}}
		return append(failures, h.process(records[at+1:], base+at+1)...)
	}
	if restored := h.restore(); restored != nil {
		return []error{err, restored}
	}
	at := int(index)
	if index == impl.NoRecord {
		if len(records) > 1 {
			// Not known which: the host looks for it with smaller batches.
			half := len(records) / 2
			return append(h.process(records[:half], base), h.process(records[half:], base+half)...)
		}
		at = 0
	}
	failures := append(h.process(records[:at], base), &RecordError{Index: base + at, Err: err})
	return append(failures, h.process(records[at+1:], base+at+1)...)
}

// keepBatch notes records that a new instance is to be given again.
func (h *Host) keepBatch(records []Record) {
	h.keep(func() error {
		_, _, err := h.batch(records)
		return err
	})
}

// batch gives records to the instance. If one fails, it returns its index, and whether the instance has undone it.
func (h *Host) batch(records []Record) (index uint32, undone bool, err error) {
	packed := make([]impl.FrameRecord, len(records))
	for i, record := range records {
		if record.Null && len(record.Value) > 0 {
			return uint32(i), false, fmt.Errorf("a record with a null value has %d bytes of value", len(record.Value))
		}
		packed[i] = impl.FrameRecord{Channel: record.Source, Record: api.Record{
			Key: record.Key, Headers: record.Headers, Timestamp: record.Timestamp, Value: record.Value, Null: record.Null,
		}}
	}
	index, err = h.runtime.ProcessBatch(impl.EncodeFrame(packed))
	return index, err != nil && h.runtime.Undone(), err
}

// restore makes a new instance and gives it what the last one had been given since the checkpoint.
func (h *Host) restore() error {
	if h.stopped {
		return nil
	}
	if err := h.start(); err != nil {
		return err
	}
	for _, again := range h.journal {
		if err := again(); err != nil {
			return fmt.Errorf("what was processed before failed when it was repeated: %w", err)
		}
	}
	return nil
}

// Checkpoint ends the epoch: what was emitted and written since the last checkpoint stays from now on. Timers that became due by
// it fire in the next epoch.
func (h *Host) Checkpoint() error {
	if err := h.runtime.TakeCheckpoint(h.epoch + 1); err != nil {
		return errors.Join(err, h.restore())
	}
	h.epoch++
	h.memory.commit()
	h.journal = nil
	return h.advance()
}

// Epoch returns the id of the last checkpoint, or 0 before the first.
func (h *Host) Epoch() uint64 { return h.epoch }

// Restart drops the instance as if the process had died. A new one goes on from the last checkpoint and gets the inputs since then
// again.
func (h *Host) Restart() error {
	h.stopped = false
	return errors.Join(h.restore(), h.advance())
}

// Heartbeat asks the function whether it is well. If it is not, a new instance goes on from the last checkpoint.
func (h *Host) Heartbeat() (well bool, err error) {
	if well, err = h.runtime.CheckHeartbeat(); !well {
		err = errors.Join(err, h.restore())
	}
	return well, err
}

// Custom sends a request to the function. If it fails, a new instance goes on from the last checkpoint.
func (h *Host) Custom(payload []byte) ([]byte, error) {
	answer, err := h.runtime.Custom(payload)
	if err != nil {
		return answer, errors.Join(err, h.restore())
	}
	return answer, h.advance()
}

// Exec sends modules to the function. If it fails, a new instance goes on from the last checkpoint.
func (h *Host) Exec(className string, modules ...api.Module) error {
	if err := h.runtime.Exec(className, modules); err != nil {
		return errors.Join(err, h.restore())
	}
	return h.advance()
}

// Stop ends the epoch and closes the function. Every later call returns ErrRuntimeClosed until Restart starts the function again.
func (h *Host) Stop() error {
	if err := h.Checkpoint(); err != nil {
		return err
	}
	err := h.runtime.Close()
	h.memory.commit()
	h.journal = nil
	h.stopped = true
	return err
}
