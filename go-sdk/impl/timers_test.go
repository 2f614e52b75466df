// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

package impl

import (
	"errors"
	"strings"
	"testing"

	"github.com/functionstream/function-stream/go-sdk/api"
)

// timed is a driver with timers.
type timed struct {
	driver
	fired func(ctx api.Context, timer api.Timer) error
}

func (d *timed) OnTimer(ctx api.Context, timer api.Timer) error { return d.fired(ctx, timer) }

func timers(keys ...string) []byte {
	records := make([]FrameRecord, len(keys))
	for i, key := range keys {
		records[i] = FrameRecord{Channel: uint32(i % 2), Record: api.Record{Key: []byte(key), Timestamp: int64(i) - 1}}
	}
	return EncodeFrame(records)
}

func TestTimersComeInOrderWithDomainKeyAndTime(t *testing.T) {
	var fired []api.Timer
	runtime := started(t, &brokenHost{}, &timed{fired: func(ctx api.Context, timer api.Timer) error {
		if record := ctx.(api.RecordContext).Record(); record.Key != nil || record.Value != nil {
			t.Error("there is no record at a timer:", record)
		}
		fired = append(fired, timer)
		return nil
	}})
	if index, err := runtime.OnTimers(timers("a", "")); err != nil || index != NoRecord {
		t.Fatal(index, err)
	}
	if len(fired) != 2 || fired[0].Domain != api.EventTime || string(fired[0].Key) != "a" || fired[0].Time != -1 ||
		fired[1].Domain != api.ProcessingTime || fired[1].Key == nil || fired[1].Time != 0 {
		t.Fatal(fired)
	}
}

func TestAnErrorOrAPanicNamesItsTimer(t *testing.T) {
	bad := errors.New("bad timer")
	runtime := started(t, &brokenHost{}, &timed{fired: func(_ api.Context, timer api.Timer) error {
		switch string(timer.Key) {
		case "bad":
			return bad
		case "panic":
			panic("too bad")
		}
		return nil
	}})
	if index, err := runtime.OnTimers(timers("a", "bad", "b")); index != 1 || !errors.Is(err, bad) {
		t.Error(index, err)
	}
	if index, err := runtime.OnTimers(timers("a", "b", "panic")); index != 2 || !strings.Contains(Text(err), "timers_test.go") {
		t.Error(index, err)
	}
	if index, err := runtime.OnTimers([]byte("no frame")); index != NoRecord || code(err) != api.ErrResultUnexpected {
		t.Error(index, err)
	}
}

func TestWhatTheHostRefusesIsNoTimersFault(t *testing.T) {
	refused := errors.New("refused")
	runtime := started(t, &brokenHost{emit: refused}, &timed{fired: func(ctx api.Context, _ api.Timer) error {
		_ = ctx.Emit(0, make([]byte, 700_000))
		return nil
	}})
	if index, err := runtime.OnTimers(timers("a", "b", "c")); index != NoRecord || !errors.Is(err, refused) {
		t.Fatal(index, err)
	}
}

func TestTimersThatCannotBeSet(t *testing.T) {
	host := &brokenHost{}
	both := func(ctx api.Context, domain api.TimeDomain, key string) [2]error {
		timers := ctx.(api.TimerContext)
		return [2]error{timers.SetTimer(domain, []byte(key), 1), timers.DeleteTimer(domain, []byte(key))}
	}
	var answers [2]error
	process := func(domain api.TimeDomain) func(api.Context, []byte) error {
		return func(ctx api.Context, data []byte) error {
			answers = both(ctx, domain, string(data))
			return nil
		}
	}
	long := strings.Repeat("k", 65_537)
	for name, c := range map[string]struct {
		driver api.Driver
		key    string
		code   api.ErrorCode
		text   string
	}{
		"no OnTimer": {&driver{process: process(api.EventTime)}, "k", api.ErrTimerUnavailable, "must implement OnTimer"},
		"key":        {&timed{driver: driver{process: process(api.EventTime)}}, long, api.ErrTimerInvalid, "65537 bytes, more than 65536"},
		"domain":     {&timed{driver: driver{process: process(2)}}, "k", api.ErrTimerInvalid, "not 2"},
		"fine":       {&timed{driver: driver{process: process(api.ProcessingTime)}}, long[1:], "", ""},
	} {
		host.timers = 0
		runtime := started(t, host, c.driver)
		if _, err := runtime.ProcessBatch(batchOf(c.key)); err != nil {
			t.Error(name, err)
		}
		for _, err := range answers {
			if code(err) != c.code || (err != nil && !strings.Contains(err.Error(), c.text)) {
				t.Error(name, err)
			}
		}
		if reached := host.timers == 2; reached != (c.code == "") {
			t.Error(name, "reached the host:", host.timers)
		}
	}
	batch := NewBatch(host, nil, oneOutput)
	_ = batch.Close()
	for _, err := range both(batch, api.EventTime, "k") {
		if code(err) != api.ErrRuntimeClosed {
			t.Error(err)
		}
	}
}

func TestATimerOfAnotherRevisionIsTold(t *testing.T) {
	runtime := started(t, &brokenHost{}, &driver{})
	if index, err := runtime.OnTimers(timers("a")); index != 0 || code(err) != api.ErrTimerUnavailable {
		t.Fatal(index, err)
	}
}
