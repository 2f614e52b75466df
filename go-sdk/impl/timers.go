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
	b.passedOn = true
	return b.host.SetTimer(domain, key, at)
}

// DeleteTimer deletes a timer.
func (b *Batch) DeleteTimer(domain api.TimeDomain, key []byte) error {
	if err := b.mayTime(domain, key); err != nil {
		return err
	}
	b.passedOn = true
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

// OnTimers gives the timers of a frame to the driver, which may keep the frame's bytes. If a timer fails, OnTimers returns its
// index with the reason, or NoRecord if an earlier timer of the frame may be the reason.
func (r *Runtime) OnTimers(bytes []byte) (index uint32, err error) {
	return r.each(bytes, func(batch *Batch, timers *frame, i int) error {
		driver, ok := r.driver.(api.TimerDriver)
		if !ok {
			// Another revision of the function set it.
			return api.NewError(api.ErrTimerUnavailable, "a timer is due, but the driver does not implement OnTimer of TimerDriver")
		}
		return driver.OnTimer(batch, api.Timer{Domain: api.TimeDomain(timers.channels[i]), Key: timers.key(i), Time: timers.timestamps[i]})
	})
}
