// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

// Package fstest runs a driver in plain "go test", without a server and without WebAssembly.
//
// A Host does in memory what Function Stream does with a function: it initializes an instance, gives it batches of records,
// ends epochs, and makes a new instance when something fails. What was emitted and written since the last checkpoint goes
// with the instance that is given up, and the records since then are given to the next one, so that a driver whose fields
// hold what belongs into state is found out here.
//
//	host, err := fstest.New(func() fssdk.Driver { return &Counter{} }, fstest.Options{})
//	err = host.Send("a", "b", "a")
//	err = host.Restart()
//	emitted := host.TakeEmitted()
//
// The same scenario files that check this package check the real host: tests/sdk in the repository.
package fstest

import (
	"errors"
	"fmt"

	"github.com/functionstream/function-stream/go-sdk/api"
	"github.com/functionstream/function-stream/go-sdk/impl"
)

// Options of a Host.
type Options struct {
	// Config is given to Init.
	Config map[string]string
	// Outputs is how many outputs the function has; 0 stands for one.
	Outputs int
	// Inputs is how many input groups the function has; 0 stands for one. Event time begins when each of them has had a watermark.
	Inputs int
}

// Record is an input.
type Record struct {
	// Source is the index of the input group.
	Source uint32
	// Key of the record; nil when it has none.
	Key []byte
	// Headers of the record.
	Headers []api.Header
	// Timestamp is the record's time in milliseconds since the Unix epoch.
	Timestamp int64
	// Value is the payload.
	Value []byte
}

// RecordError says which record of a batch failed, and why.
type RecordError struct {
	// Index of the record in its batch.
	Index int
	// Err is what the driver returned, or its panic.
	Err error
}

// Error is the reason with the index before it.
func (e *RecordError) Error() string { return fmt.Sprintf("record %d: %v", e.Index, e.Err) }

// Unwrap is the reason.
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
}

// New makes a host and the first instance of the function. The factory is called for each instance, and must give a new
// driver each time.
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
	return h.runtime.Init(impl.NewBatch(h.memory, config, h.options.Outputs), config)
}

// Send processes values of input group 0 as one batch.
func (h *Host) Send(values ...string) error {
	records := make([]Record, len(values))
	for i, value := range values {
		records[i].Value = []byte(value)
	}
	return h.Process(records...)
}

// Process gives records to the function as one batch. A record that fails is left out, as by a function whose error policy
// is to skip; all others are processed. Then the timers fire that are due. The error is nil, or joins a RecordError for each
// record that failed, and a TimerError if a timer did.
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
	index, err := h.batch(records)
	if err == nil {
		h.journal = append(h.journal, func() error {
			_, err := h.batch(records)
			return err
		})
		return nil
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

func (h *Host) batch(records []Record) (uint32, error) {
	packed := make([]impl.FrameRecord, len(records))
	for i, record := range records {
		packed[i] = impl.FrameRecord{Channel: record.Source, Record: api.Record{
			Key: record.Key, Headers: record.Headers, Timestamp: record.Timestamp, Value: record.Value,
		}}
	}
	return h.runtime.ProcessBatch(impl.EncodeFrame(packed))
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

// Checkpoint ends the epoch: what was emitted and written since the last one stays from now on. Timers that it made due fire in
// the next one.
func (h *Host) Checkpoint() error {
	if err := h.runtime.TakeCheckpoint(h.epoch + 1); err != nil {
		return errors.Join(err, h.restore())
	}
	h.epoch++
	h.memory.commit()
	h.journal = nil
	return h.advance()
}

// Epoch is the id of the last checkpoint; 0 before the first.
func (h *Host) Epoch() uint64 { return h.epoch }

// Restart gives the instance up as if the process had died, and goes on from the last checkpoint with the inputs since then.
func (h *Host) Restart() error {
	h.stopped = false
	return errors.Join(h.restore(), h.advance())
}

// Heartbeat asks the function whether it is well. When it is not, a new instance goes on from the last checkpoint.
func (h *Host) Heartbeat() (well bool, err error) {
	if well, err = h.runtime.CheckHeartbeat(); !well {
		err = errors.Join(err, h.restore())
	}
	return well, err
}

// Custom sends a request to the function.
func (h *Host) Custom(payload []byte) ([]byte, error) {
	answer, err := h.runtime.Custom(payload)
	if err != nil {
		return answer, err
	}
	return answer, h.advance()
}

// Exec hands modules to the function.
func (h *Host) Exec(className string, modules ...api.Module) error {
	if err := h.runtime.Exec(className, modules); err != nil {
		return err
	}
	return h.advance()
}

// Stop ends the epoch and closes the function. Every later call gives ErrRuntimeClosed, until Restart starts it again.
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
