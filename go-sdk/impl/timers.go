// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

package impl

import (
	"fmt"

	"github.com/functionstream/function-stream/go-sdk/api"
)

// mostTimerKey is the longest key of a timer, in bytes.
const mostTimerKey = 64 << 10

var _ api.TimerContext = (*Batch)(nil)

// SetTimer sets a timer at once: there is nothing to gather, since the host keeps one for each key.
func (b *Batch) SetTimer(domain api.TimeDomain, key []byte, at int64) error {
	if err := b.mayTime(domain, key); err != nil {
		return err
	}
	return b.host.SetTimer(domain, key, at)
}

// DeleteTimer deletes a timer.
func (b *Batch) DeleteTimer(domain api.TimeDomain, key []byte) error {
	if err := b.mayTime(domain, key); err != nil {
		return err
	}
	return b.host.DeleteTimer(domain, key)
}

// mayTime tells whether there can be such a timer.
func (b *Batch) mayTime(domain api.TimeDomain, key []byte) error {
	switch {
	case b.closed:
		return errClosed()
	case !b.listens:
		return api.NewError(api.ErrTimerUnavailable, "a driver that uses timers must implement OnTimer of TimerDriver")
	case domain != api.EventTime && domain != api.ProcessingTime:
		return api.NewError(api.ErrTimerInvalid, fmt.Sprintf("the domain of a timer is event time or processing time, not %d", domain))
	case len(key) > mostTimerKey:
		return api.NewError(api.ErrTimerInvalid, fmt.Sprintf("the key of a timer has %d bytes, more than %d", len(key), mostTimerKey))
	}
	return nil
}

// OnTimers gives the timers of a frame to the driver, which may keep the frame's bytes. When one fails, its index is given with
// the reason, or NoRecord when an earlier timer of the frame may be the reason.
func (r *Runtime) OnTimers(bytes []byte) (index uint32, err error) {
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
	}()
	index = NoRecord
	timers, err := parseFrame(bytes)
	if err != nil {
		return index, err
	}
	for i := range timers.timestamps {
		index = uint32(i)
		driver, ok := r.driver.(api.TimerDriver)
		if !ok {
			// It was set by another revision of the function.
			return index, api.NewError(api.ErrTimerUnavailable, "a timer is due, but the driver does not implement OnTimer of TimerDriver")
		}
		// Records' emits have their time; so have those of timers.
		batch.timestamp = timers.timestamps[i]
		timer := api.Timer{Domain: api.TimeDomain(timers.channels[i]), Key: timers.key(i), Time: timers.timestamps[i]}
		if err := driver.OnTimer(batch, timer); err != nil {
			return index, err
		}
	}
	return NoRecord, batch.Flush()
}
