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

// Time stands still until a test moves it: Host.Watermark moves event time, and Host.AdvanceTime moves the machine's clock. Neither
// goes back at a restart. At the end of each call the timers that are due fire, including those whose time had come when they were
// set. Timers of event time fire before the driver gets the watermark that made them due.
//
// As on a server, a timer that fails is tried again, and nothing else happens before it succeeds: each later call returns the same
// error.

// TimerError is the failure of a timer.
type TimerError struct {
	// Timer is the timer that failed.
	Timer api.Timer
	// Err is the error that the driver returned, or its panic.
	Err error
}

// Error returns the timer and the reason.
func (e *TimerError) Error() string {
	return fmt.Sprintf("the timer '%s' of %d: %v", e.Timer.Key, e.Timer.Time, e.Err)
}

// Unwrap returns the reason.
func (e *TimerError) Unwrap() error { return e.Err }

// Watermark raises the watermark of an input group. The function's watermark is that of the group that is furthest behind. When it
// rises, the timers of event time that are due fire, and then Driver.ProcessWatermark is called. If a timer fails, the error is a
// TimerError.
func (h *Host) Watermark(source uint32, watermark uint64) error {
	if int(source) >= h.options.Inputs {
		return fmt.Errorf("there is no input group %d; Options.Inputs says that there are %d", source, h.options.Inputs)
	}
	h.watermarks[source] = max(watermark, h.watermarks[source])
	return h.advance()
}

// AdvanceTime moves the machine's clock forward to a time in milliseconds since the Unix epoch, and fires the timers of processing
// time that are due then. If a timer fails, the error is a TimerError.
func (h *Host) AdvanceTime(now int64) error {
	if h.clock == nil || *h.clock < now {
		h.clock = &now
	}
	return h.advance()
}

// Timers returns the timers that are set: first those of event time, then those of processing time, each in the order of their
// times.
func (h *Host) Timers() []api.Timer {
	return append(h.memory.due(api.EventTime, math.MaxInt64), h.memory.due(api.ProcessingTime, math.MaxInt64)...)
}

// rise gives the watermark that the driver is to be told, and the input group that held it back until now.
func (h *Host) rise() (source uint32, watermark uint64, rises bool) {
	if len(h.watermarks) < h.options.Inputs {
		return 0, 0, false
	}
	for group := range uint32(h.options.Inputs) {
		if least := h.watermarks[group]; group == 0 || least < watermark {
			source, watermark = group, least
		}
	}
	return source, watermark, h.told == nil || *h.told < watermark
}

// advance does what is due: timers, then the watermark that made them so, until there is nothing to do.
func (h *Host) advance() error {
	for !h.stopped {
		source, watermark, rises := h.rise()
		event := h.told
		if rises {
			event = &watermark
		}
		var due []api.Timer
		if h.clock != nil {
			due = h.memory.due(api.ProcessingTime, *h.clock)
		}
		if len(due) == 0 && event != nil {
			due = h.memory.due(api.EventTime, int64(min(*event, math.MaxInt64)))
		}
		switch {
		case len(due) > 0:
			if err := h.fire(due); err != nil {
				return err
			}
		case rises:
			tell := func() error { return h.runtime.ProcessWatermark(source, watermark) }
			if err := tell(); err != nil {
				return errors.Join(err, h.restore())
			}
			h.journal = append(h.journal, tell)
			h.told = &watermark
		default:
			return nil
		}
	}
	return nil
}

// fire fires timers in one call, or those before one that fails, which stays set.
func (h *Host) fire(due []api.Timer) error {
	if len(due) == 0 {
		return nil
	}
	index, failed := h.onTimers(due)
	if failed == nil {
		h.journal = append(h.journal, func() error {
			_, err := h.onTimers(due)
			return err
		})
		return nil
	}
	if err := h.restore(); err != nil {
		return errors.Join(failed, err)
	}
	if index == impl.NoRecord && len(due) > 1 {
		// Not known which: the host looks for it with fewer of them.
		if err := h.fire(due[:len(due)/2]); err != nil {
			return err
		}
		return h.fire(due[len(due)/2:])
	}
	at := int(index)
	if index == impl.NoRecord {
		at = 0
	}
	if err := h.fire(due[:at]); err != nil {
		return err
	}
	return &TimerError{Timer: due[at], Err: failed}
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
