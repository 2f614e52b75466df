// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

package api

// TimeDomain says which clock a timer follows.
type TimeDomain uint8

const (
	// EventTime is the function's watermark. A timer is due when no input is expected to bring a record older than the timer.
	EventTime TimeDomain = 0
	// ProcessingTime is the machine's clock.
	ProcessingTime TimeDomain = 1
)

// String returns the domain's name.
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
	// Domain is the clock that the timer followed.
	Domain TimeDomain
	// Key is the function's own name for the timer. There is at most one timer for each domain and key.
	Key []byte
	// Time is when the timer was due, in milliseconds since the Unix epoch.
	Time int64
}

// TimerDriver is implemented by drivers that set timers.
type TimerDriver interface {
	// OnTimer is called once for each timer that is due, in the order of their times. The timer is no longer set, and OnTimer may
	// set it again. Records that Context.Emit sends have the timer's time. If OnTimer returns an error or panics, a new instance
	// tries the timer again until it succeeds, and nothing else is processed meanwhile. With the error policy "stop" the function
	// stops.
	OnTimer(ctx Context, timer Timer) error
}

// TimerContext is a Context that sets timers. Every Context that the SDK passes implements it, in both worlds:
//
//	timers := ctx.(fssdk.TimerContext)
//	err := timers.SetTimer(fssdk.EventTime, key, end)
//
// Timers belong to the epoch, like state. The host keeps them, so they outlast the instance. Each is due exactly once, and a timer
// that a failed call has set is not set.
//
// Both methods return ErrTimerUnavailable if the driver does not implement TimerDriver, and in the per-record world, which has no
// timers.
type TimerContext interface {
	Context

	// SetTimer sets the timer with that domain and key to a time in milliseconds since the Unix epoch, or moves it there. If the
	// time has come already, the timer is due when the current call is over. SetTimer copies the key, and returns
	// ErrTimerInvalid if the key has more than 65,536 bytes.
	SetTimer(domain TimeDomain, key []byte, at int64) error

	// DeleteTimer deletes a timer. It does nothing if the timer is not set.
	DeleteTimer(domain TimeDomain, key []byte) error
}
