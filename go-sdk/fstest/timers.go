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
// set. Timers of event time fire before the driver gets the watermark that made them due. A timer that OnTimer sets for the time of
// the timers that fire, or for an earlier one, fires after that.
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

// mostCalls is how many calls for timers may follow each other. On a server there is no such limit, but a test would not end.
const mostCalls = 10_000

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
	all := func(setTimer) bool { return true }
	return append(h.memory.find(api.EventTime, all), h.memory.find(api.ProcessingTime, all)...)
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
	for calls := 0; !h.stopped; calls++ {
		if calls == mostCalls {
			return fmt.Errorf("%d calls for timers, and there is still one due: timers set timers that are due already, without end", calls)
		}
		source, watermark, rises := h.rise()
		due := h.next(watermark, rises)
		switch {
		case len(due) > 0:
			if err := h.fire(due); err != nil {
				return err
			}
		case rises:
			h.memory.reach(api.EventTime, int64(min(watermark, math.MaxInt64)))
			tell := func() error { return h.runtime.ProcessWatermark(source, watermark) }
			if err := tell(); err != nil {
				return errors.Join(err, h.restore())
			}
			h.keep(tell)
			h.told, h.climbing = &watermark, false
		default:
			return nil
		}
	}
	return nil
}

// next returns the timers that fire next, in one call, and says what time it is to those that are set from now on.
func (h *Host) next(watermark uint64, rises bool) []api.Timer {
	h.memory.reached = map[api.TimeDomain]int64{}
	if h.told != nil {
		h.memory.reach(api.EventTime, int64(min(*h.told, math.MaxInt64)))
	}
	if h.clock != nil {
		h.memory.reach(api.ProcessingTime, *h.clock)
		if due := h.memory.due(api.ProcessingTime, *h.clock); len(due) > 0 {
			return due
		}
		if due := h.memory.queued(api.ProcessingTime, h.memory.turn); len(due) > 0 {
			h.memory.turn++
			return due
		}
	}
	switch {
	case rises && !h.climbing:
		// What is in the queue now belongs to what was there before the watermark rose.
		h.climbing, h.queued = true, h.memory.turn
		h.memory.turn++
	case !rises:
		h.queued = h.memory.turn
	}
	if due := h.memory.queued(api.EventTime, h.queued); len(due) > 0 {
		h.memory.turn++
		return due
	}
	if !rises {
		return nil
	}
	due := h.memory.due(api.EventTime, int64(min(watermark, math.MaxInt64)))
	if len(due) > 0 {
		h.memory.reach(api.EventTime, due[0].Time)
	}
	return due
}

// keep notes a call that succeeded, to be made again.
func (h *Host) keep(call func() error) {
	reached := h.memory.reached
	h.journal = append(h.journal, func() error {
		h.memory.reached = reached
		return call()
	})
}

// fire fires timers in one call, or those before one that fails, which stays set.
func (h *Host) fire(due []api.Timer) error {
	if len(due) == 0 {
		return nil
	}
	index, failed := h.onTimers(due)
	if failed == nil {
		h.keep(func() error {
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

// setTimer is a timer that is set: its time, and its turn in the queue if its time had come when it was set.
type setTimer struct {
	at     int64
	turn   uint64
	queued bool
}

// reach says that a time has come for those that set timers.
func (m *memory) reach(domain api.TimeDomain, at int64) {
	if before, found := m.reached[domain]; !found || before < at {
		m.reached[domain] = at
	}
}

func (m *memory) SetTimer(domain api.TimeDomain, key []byte, at int64) error {
	reached, found := m.reached[domain]
	m.setTimer(timerKey{domain, string(key)}, &setTimer{at: at, turn: m.turn, queued: found && at <= reached})
	return nil
}

func (m *memory) DeleteTimer(domain api.TimeDomain, key []byte) error {
	m.setTimer(timerKey{domain, string(key)}, nil)
	return nil
}

// setTimer sets or deletes a timer, so that it can be undone.
func (m *memory) setTimer(key timerKey, set *setTimer) {
	before, found := m.timers[key]
	m.undo = append(m.undo, func() {
		if found {
			m.timers[key] = before
		} else {
			delete(m.timers, key)
		}
	})
	if set != nil {
		m.timers[key] = *set
	} else {
		delete(m.timers, key)
	}
}

// unset deletes timers, and gives those of them that were set.
func (m *memory) unset(timers []api.Timer) []api.Timer {
	return slices.DeleteFunc(slices.Clone(timers), func(timer api.Timer) bool {
		key := timerKey{timer.Domain, string(timer.Key)}
		set, found := m.timers[key]
		if !found || set.at != timer.Time {
			return true
		}
		m.setTimer(key, nil)
		return false
	})
}

// due gives the timers of a domain that are due at a time and not queued, in the order of their times.
func (m *memory) due(domain api.TimeDomain, now int64) []api.Timer {
	return m.find(domain, func(set setTimer) bool { return !set.queued && set.at <= now })
}

// queued gives the timers of the queue of a domain up to a turn, in the order of their times.
func (m *memory) queued(domain api.TimeDomain, turn uint64) []api.Timer {
	return m.find(domain, func(set setTimer) bool { return set.queued && set.turn <= turn })
}

func (m *memory) find(domain api.TimeDomain, wanted func(setTimer) bool) (found []api.Timer) {
	for key, set := range m.timers {
		if key.domain == domain && wanted(set) {
			found = append(found, api.Timer{Domain: domain, Key: []byte(key.key), Time: set.at})
		}
	}
	slices.SortFunc(found, func(a, b api.Timer) int {
		return cmp.Or(cmp.Compare(a.Time, b.Time), bytes.Compare(a.Key, b.Key))
	})
	return found
}
