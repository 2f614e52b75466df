// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

package fstest

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/functionstream/function-stream/go-sdk/api"
	"github.com/functionstream/function-stream/go-sdk/impl"
)

// Time stands still until a test moves it: Host.Watermark moves event time, Host.AdvanceTime the machine's clock. Timers that
// are due fire when a call is over, also those whose time had come when they were set. Neither time goes back at a restart.

// TimerError says which timer failed, and why.
type TimerError struct {
	// Timer is the timer.
	Timer api.Timer
	// Err is what the driver returned, or its panic.
	Err error
}

// Error is the reason with the timer before it.
func (e *TimerError) Error() string {
	return fmt.Sprintf("the timer '%s' of %d: %v", e.Timer.Key, e.Timer.Time, e.Err)
}

// Unwrap is the reason.
func (e *TimerError) Unwrap() error { return e.Err }

// Watermark tells the function that no older record of an input group is expected, and fires the timers of event time that are
// due then: the function's watermark is that of the input group that is furthest behind. A timer that fails is given up, the
// others fire; the error joins a TimerError for each that failed.
func (h *Host) Watermark(source uint32, watermark uint64) error {
	tell := func() error { return h.runtime.ProcessWatermark(source, watermark) }
	if err := tell(); err != nil {
		return errors.Join(err, h.restore())
	}
	h.journal = append(h.journal, tell)
	h.watermarks[source] = max(watermark, h.watermarks[source])
	return h.fire()
}

// AdvanceTime moves the machine's clock on, to milliseconds since the Unix epoch, and fires the timers of processing time that
// are due then. Errors are as for Watermark.
func (h *Host) AdvanceTime(now int64) error {
	if h.clock == nil || *h.clock < now {
		h.clock = &now
	}
	return h.fire()
}

// Timers gives the timers that are set, in the order of their times, those of event time first.
func (h *Host) Timers() []api.Timer {
	return append(h.memory.due(api.EventTime, math.MaxInt64), h.memory.due(api.ProcessingTime, math.MaxInt64)...)
}

// due gives the timers of one domain that are due now.
func (h *Host) due() []api.Timer {
	known := 0
	least := uint64(math.MaxInt64)
	for source, watermark := range h.watermarks {
		least = min(least, watermark)
		if int(source) < h.options.Inputs {
			known++
		}
	}
	if known == h.options.Inputs {
		if due := h.memory.due(api.EventTime, int64(least)); len(due) > 0 {
			return due
		}
	}
	if h.clock == nil {
		return nil
	}
	return h.memory.due(api.ProcessingTime, *h.clock)
}

// fire fires timers until none is due.
func (h *Host) fire() error {
	var failures []error
	for !h.stopped {
		due := h.due()
		if len(due) == 0 {
			break
		}
		failed, err := h.fireAll(due)
		failures = append(failures, failed...)
		if err != nil {
			failures = append(failures, err)
			break
		}
	}
	return errors.Join(failures...)
}

// fireAll fires timers in one call; those that fail are given up. The second error says that there is no instance.
func (h *Host) fireAll(due []api.Timer) (failures []error, err error) {
	if len(due) == 0 {
		return nil, nil
	}
	index, failed := h.onTimers(due)
	if failed == nil {
		h.journal = append(h.journal, func() error {
			_, err := h.onTimers(due)
			return err
		})
		return nil, nil
	}
	if err := h.restore(); err != nil {
		return []error{failed}, err
	}
	at := int(index)
	if index == impl.NoRecord {
		if len(due) > 1 {
			// Not known which: the host looks for it with fewer of them.
			return h.inTurn(due[:len(due)/2], nil, due[len(due)/2:])
		}
		at = 0
	}
	return h.inTurn(due[:at], &TimerError{Timer: due[at], Err: failed}, due[at+1:])
}

// inTurn fires some timers, gives one up, and fires the others.
func (h *Host) inTurn(before []api.Timer, failed *TimerError, after []api.Timer) (failures []error, err error) {
	if failures, err = h.fireAll(before); err != nil {
		return failures, err
	}
	if failed != nil {
		giveUp := func() error {
			h.memory.unset([]api.Timer{failed.Timer})
			return nil
		}
		_ = giveUp()
		h.journal = append(h.journal, giveUp)
		failures = append(failures, failed)
	}
	rest, err := h.fireAll(after)
	return append(failures, rest...), err
}

// onTimers calls the function with those of the timers that are set, which they are not any more then.
func (h *Host) onTimers(due []api.Timer) (uint32, error) {
	due = h.memory.unset(due)
	frame := make([]impl.FrameRecord, len(due))
	for i, timer := range due {
		frame[i] = impl.FrameRecord{Channel: uint32(timer.Domain), Record: api.Record{Key: timer.Key, Timestamp: timer.Time}}
	}
	return h.runtime.OnTimers(impl.EncodeFrame(frame))
}

// timerKey names a timer.
type timerKey struct {
	domain api.TimeDomain
	key    string
}

func (m *memory) SetTimer(domain api.TimeDomain, key []byte, at int64) error {
	m.setTimer(timerKey{domain, string(key)}, &at)
	return nil
}

func (m *memory) DeleteTimer(domain api.TimeDomain, key []byte) error {
	m.setTimer(timerKey{domain, string(key)}, nil)
	return nil
}

// setTimer sets or deletes a timer, so that it can be undone.
func (m *memory) setTimer(key timerKey, at *int64) {
	before, found := m.timers[key]
	m.undo = append(m.undo, func() {
		if found {
			m.timers[key] = before
		} else {
			delete(m.timers, key)
		}
	})
	if at != nil {
		m.timers[key] = *at
	} else {
		delete(m.timers, key)
	}
}

// unset deletes timers, and gives those of them that were set.
func (m *memory) unset(timers []api.Timer) []api.Timer {
	return slices.DeleteFunc(slices.Clone(timers), func(timer api.Timer) bool {
		key := timerKey{timer.Domain, string(timer.Key)}
		at, found := m.timers[key]
		if !found || at != timer.Time {
			return true
		}
		m.setTimer(key, nil)
		return false
	})
}

// due gives the timers of a domain that are due at a time, in the order of their times.
func (m *memory) due(domain api.TimeDomain, now int64) (due []api.Timer) {
	for key, at := range m.timers {
		if key.domain == domain && at <= now {
			due = append(due, api.Timer{Domain: domain, Key: []byte(key.key), Time: at})
		}
	}
	slices.SortFunc(due, func(a, b api.Timer) int {
		return cmp.Or(cmp.Compare(a.Time, b.Time), bytes.Compare(a.Key, b.Key))
	})
	return due
}
