// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

package api

// TimeDomain is what the time of a timer is compared with.
type TimeDomain uint8

const (
	// EventTime is the function's watermark: a timer is due when no record older than its time is expected from any input.
	EventTime TimeDomain = 0
	// ProcessingTime is the machine's clock.
	ProcessingTime TimeDomain = 1
)

// String is the domain's name.
func (d TimeDomain) String() string {
	switch d {
	case EventTime:
		return "event time"
	case ProcessingTime:
		return "processing time"
	}
	return "unknown time"
}

// Timer is a timer that is due.
type Timer struct {
	// Domain is what its time was compared with.
	Domain TimeDomain
	// Key is the function's own name for it. There is one timer for each domain and key.
	Key []byte
	// Time is when it was due, in milliseconds since the Unix epoch.
	Time int64
}

// TimerDriver is what a Driver has beside that sets timers.
type TimerDriver interface {
	// OnTimer is called once for each timer that is due, in the order of their times. The timer is not set any more, and may
	// be set again. What is emitted by Context.Emit has the timer's time. After an error, or a panic, the timer is tried again by
	// a new instance until it succeeds; nothing else is processed meanwhile. With the error policy "stop" the function stops.
	OnTimer(ctx Context, timer Timer) error
}

// TimerContext is a Context that sets timers. Those of the SDK are ones in both worlds:
//
//	timers := ctx.(fssdk.TimerContext)
//	err := timers.SetTimer(fssdk.EventTime, key, end)
//
// Timers belong to the epoch like state: they are kept by the host and outlast the instance, each is due exactly once, and
// those that a failed call has set are not set.
//
// Both calls give ErrTimerUnavailable when the driver is no TimerDriver, and in the per-record world, which has no timers.
type TimerContext interface {
	Context

	// SetTimer sets the timer of that domain and key to a time in milliseconds since the Unix epoch. One that is set already is
	// moved. One whose time has come is due as soon as the call at hand is over. A key has at most 65,536 bytes, which are
	// copied, or the error is ErrTimerInvalid.
	SetTimer(domain TimeDomain, key []byte, at int64) error

	// DeleteTimer deletes a timer; it is no error when it is not set.
	DeleteTimer(domain TimeDomain, key []byte) error
}
