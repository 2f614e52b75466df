// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

package impl

import "github.com/functionstream/function-stream/go-sdk/api"

// NoRecord is the index of a failure that no single record of its batch is known to have caused.
const NoRecord = ^uint32(0)

// undone is what the host finds in place of the index of the record at hand if a call returned an error and nothing is left of the
// record that failed.
const undone = NoRecord - 1

type phase uint8

const (
	waiting phase = iota
	running
	closed
)

// Runtime is one instance of a function in a host's hands:
//
//	waiting -- Init --> running -- Close --> closed
//
// A call in the wrong phase returns ErrRuntimeNotInitialized or ErrRuntimeClosed. If the driver panics, the call returns an error.
type Runtime struct {
	driver  api.Driver
	mistake *api.SDKError
	phase   phase
	world   World
	// The world, if it is the packed one.
	batch *Batch
	// The index of the record that the driver has at hand, NoRecord between records. In a component the host reads it when
	// the call does not return.
	atHand uint32
}

// Register gives the runtime its driver. If that is a mistake, every later call returns its error.
func (r *Runtime) Register(driver api.Driver) {
	switch {
	case driver == nil:
		r.mistake = api.NewError(api.ErrRuntimeInvalidDriver, "run was called with nil instead of a driver")
	case r.driver != nil:
		r.mistake = api.NewError(api.ErrRuntimeInvalidDriver, "run was called twice; a program is one function")
	default:
		r.driver = driver
	}
}

// registered returns an error if there is no driver.
func (r *Runtime) registered() error {
	switch {
	case r.mistake != nil:
		return r.mistake
	case r.driver == nil:
		return api.NewError(api.ErrRuntimeInvalidDriver, "there is no driver; call run from an init function")
	}
	return nil
}

// ready returns an error if the driver does not run.
func (r *Runtime) ready() error {
	if err := r.registered(); err != nil {
		return err
	}
	switch r.phase {
	case waiting:
		return api.NewError(api.ErrRuntimeNotInitialized, "the function was not initialized")
	case closed:
		return errClosed()
	}
	return nil
}

// Init starts the function in a world.
func (r *Runtime) Init(world World, config map[string]string) error {
	if err := r.registered(); err != nil {
		return err
	}
	switch r.phase {
	case running:
		return api.NewError(api.ErrResultUnexpected, "the host initialized the function twice")
	case closed:
		return errClosed()
	}
	batch, isPacked := world.(*Batch)
	if isPacked {
		_, batch.listens = r.driver.(api.TimerDriver)
	}
	err := guard(func() error { return r.driver.Init(world, config) })
	if err == nil {
		err = world.Flush()
	}
	if err != nil {
		return err
	}
	r.world = world
	r.batch = batch
	r.phase = running
	return nil
}

// ProcessBatch gives the records of a frame to the driver, which may keep the frame's bytes. If a record fails, ProcessBatch
// returns its index with the reason, or NoRecord if an earlier record of the batch may be the reason. See Undone.
func (r *Runtime) ProcessBatch(bytes []byte) (index uint32, err error) {
	return r.each(bytes, func(batch *Batch, records *frame, i int) error {
		batch.frame, batch.index = records, i
		return r.driver.Process(batch, records.channels[i], records.value(i))
	})
}

// Undone reports whether nothing is left of the record that failed in the last call, and all that those before it did was passed on.
// Then the instance is well. It is not after a panic, since nobody knows what that left half done.
func (r *Runtime) Undone() bool { return r.atHand == undone }

// each runs something for each record of a frame, at the record's time, and passes on what that did. If one fails, that is undone,
// if it can be.
func (r *Runtime) each(bytes []byte, run func(batch *Batch, records *frame, i int) error) (index uint32, err error) {
	batch, err := r.packed()
	if err != nil {
		return NoRecord, err
	}
	defer func() {
		if p := recover(); p != nil {
			err = panicked(p)
		}
		if err != nil && batch.fault != nil {
			index = NoRecord
		}
		batch.frame = nil
	}()
	index, r.atHand = NoRecord, NoRecord
	records, err := parseFrame(bytes)
	if err != nil {
		return index, err
	}
	for i := range records.timestamps {
		index = uint32(i)
		r.atHand = index
		batch.timestamp = records.timestamps[i]
		batch.begin()
		if err := run(batch, &records, i); err != nil {
			if batch.undo() {
				r.atHand = undone
			}
			return index, err
		}
	}
	index, r.atHand = NoRecord, NoRecord
	return index, batch.Flush()
}

// packed returns the world of the driver if that is the packed one.
func (r *Runtime) packed() (*Batch, error) {
	if err := r.ready(); err != nil {
		return nil, err
	}
	if r.batch == nil {
		return nil, api.NewError(api.ErrResultUnexpected, "the host mixed calls of two worlds")
	}
	return r.batch, nil
}

// Process gives one record to the driver.
func (r *Runtime) Process(source uint32, data []byte) error {
	return r.call(func() error { return r.driver.Process(r.world, source, data) })
}

// ProcessWatermark gives a watermark to the driver.
func (r *Runtime) ProcessWatermark(source uint32, watermark uint64) error {
	return r.call(func() error { return r.driver.ProcessWatermark(r.world, source, watermark) })
}

// TakeCheckpoint reports the end of the epoch to the driver.
func (r *Runtime) TakeCheckpoint(id uint64) error {
	return r.call(func() error { return r.driver.TakeCheckpoint(r.world, id) })
}

// CheckHeartbeat asks the driver whether it is well.
func (r *Runtime) CheckHeartbeat() (well bool, err error) {
	err = r.call(func() error {
		well = r.driver.CheckHeartbeat(r.world)
		return nil
	})
	return well && err == nil, err
}

// Close stops the function, whatever the driver answers.
func (r *Runtime) Close() error {
	if err := r.ready(); err != nil {
		return err
	}
	err := guard(func() error { return r.driver.Close(r.world) })
	// What it emitted before closing its context still counts.
	if flushed := r.world.Flush(); err == nil {
		err = flushed
	}
	r.world.shut()
	r.phase = closed
	return err
}

// Exec gives modules to the driver.
func (r *Runtime) Exec(className string, modules []api.Module) error {
	return r.call(func() error { return r.driver.Exec(r.world, className, modules) })
}

// Custom gives a request to the driver.
func (r *Runtime) Custom(payload []byte) (answer []byte, err error) {
	err = r.call(func() (err error) {
		answer, err = r.driver.Custom(r.world, payload)
		return err
	})
	return answer, err
}

// call calls the driver and passes on what it did.
func (r *Runtime) call(run func() error) error {
	if err := r.ready(); err != nil {
		return err
	}
	if err := guard(run); err != nil {
		return err
	}
	return r.world.Flush()
}

func errClosed() error {
	return api.NewError(api.ErrRuntimeClosed, "the function was closed")
}
