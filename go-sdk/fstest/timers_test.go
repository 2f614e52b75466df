// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

package fstest_test

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	fssdk "github.com/functionstream/function-stream/go-sdk"
	"github.com/functionstream/function-stream/go-sdk/fstest"
)

// alarm sets timers of "event AT KEY" and "processing AT KEY", and tells what fires. It counts in a field, which goes with the
// instance. The key "fail" fails, and "again" is set anew a millisecond later, once.
type alarm struct {
	fssdk.BaseDriver
	fired int
}

func (a *alarm) Process(ctx fssdk.Context, _ uint32, data []byte) error {
	words := strings.SplitN(string(data), " ", 3)
	timers := ctx.(fssdk.TimerContext)
	if words[0] == "delete" {
		return timers.DeleteTimer(fssdk.EventTime, []byte(words[1]))
	}
	if len(words) != 3 {
		return errors.New("what is that")
	}
	at, err := strconv.ParseInt(words[1], 10, 64)
	if err != nil {
		return err
	}
	domain := fssdk.EventTime
	if words[0] == "processing" {
		domain = fssdk.ProcessingTime
	}
	return timers.SetTimer(domain, []byte(words[2]), at)
}

// ProcessWatermark tells of the watermark 20, and passes all on.
func (a *alarm) ProcessWatermark(ctx fssdk.Context, source uint32, watermark uint64) error {
	if watermark == 20 && len(ctx.Config()) > 0 {
		if err := ctx.Emit(0, []byte("told 20")); err != nil {
			return err
		}
	}
	return ctx.EmitWatermark(0, watermark)
}

func (a *alarm) OnTimer(ctx fssdk.Context, timer fssdk.Timer) error {
	a.fired++
	switch string(timer.Key) {
	case "fail":
		return errors.New("as told")
	case "again":
		if err := ctx.(fssdk.TimerContext).SetTimer(timer.Domain, []byte("once"), timer.Time+1); err != nil {
			return err
		}
	}
	return ctx.Emit(0, fmt.Appendf(nil, "%v %d %s %d", timer.Domain, timer.Time, timer.Key, a.fired))
}

func alarmed(t *testing.T, options fstest.Options) *fstest.Host {
	t.Helper()
	host, err := fstest.New(func() fssdk.Driver { return &alarm{} }, options)
	if err != nil {
		t.Fatal(err)
	}
	return host
}

func emits(t *testing.T, host *fstest.Host, wanted ...string) {
	t.Helper()
	if got := host.Values(); !slices.Equal(got, wanted) {
		t.Errorf("emitted %q, not %q", got, wanted)
	}
}

func TestTimersFireOnceInTheOrderOfTheirTimes(t *testing.T) {
	host := alarmed(t, fstest.Options{})
	err := errors.Join(
		host.Send("event 20 b", "event 10 a", "event 11 moved", "event 30 moved", "event 10 0", "event 5 no", "delete no", "processing 15 p"),
		host.Watermark(0, 9), host.AdvanceTime(14))
	emits(t, host)
	err = errors.Join(err, host.Watermark(0, 20), host.AdvanceTime(15), host.Watermark(0, 29), host.AdvanceTime(20))
	if err != nil {
		t.Fatal(err)
	}
	emits(t, host, "event time 10 0 1", "event time 10 a 2", "event time 20 b 3", "processing time 15 p 4")
	if emitted := host.Emitted(); emitted[2].Timestamp != 20 {
		t.Error("what a timer emits has its time, not", emitted[2].Timestamp)
	}
	if left := host.Timers(); len(left) != 1 || string(left[0].Key) != "moved" || left[0].Time != 30 {
		t.Error(left)
	}
}

func TestATimerWhoseTimeHasComeFiresWhenTheCallIsOver(t *testing.T) {
	host := alarmed(t, fstest.Options{})
	if err := errors.Join(host.Watermark(0, 100), host.Send("event 98 again", "event 99 b")); err != nil {
		t.Fatal(err)
	}
	emits(t, host, "event time 98 again 1", "event time 99 b 2", "event time 99 once 3")
}

func TestTheInputGroupThatIsFurthestBehindDecides(t *testing.T) {
	host := alarmed(t, fstest.Options{Inputs: 2})
	err := errors.Join(host.Send("event 10 a"), host.Watermark(0, 100))
	emits(t, host)
	if err := errors.Join(err, host.Watermark(1, 10), host.Watermark(1, 15)); err != nil {
		t.Fatal(err)
	}
	emits(t, host, "event time 10 a 1")
	if marks := host.Watermarks(); len(marks) != 2 || marks[0].Watermark != 10 || marks[1].Watermark != 15 {
		t.Error("the driver was told", marks)
	}
	if err := host.Watermark(2, 10); err == nil || !strings.Contains(err.Error(), "there is no input group 2") {
		t.Error(err)
	}
}

func TestTimersAreAsOldAsTheLastCheckpoint(t *testing.T) {
	host := alarmed(t, fstest.Options{})
	err := errors.Join(host.Send("event 10 a", "event 20 b"), host.Watermark(0, 10), host.Checkpoint())
	// What fired after the checkpoint fires again, in a new instance; what fired before it does not.
	err = errors.Join(err, host.Watermark(0, 20), host.Restart())
	if err != nil {
		t.Fatal(err)
	}
	emits(t, host, "event time 10 a 1", "event time 20 b 1")
	err = errors.Join(host.Send("event 15 late"), host.Checkpoint(), host.Restart(), host.Watermark(0, 30))
	if err != nil {
		t.Fatal(err)
	}
	emits(t, host, "event time 10 a 1", "event time 20 b 1", "event time 15 late 2")
}

func TestNothingHappensBeforeATimerThatFailsSucceeds(t *testing.T) {
	host := alarmed(t, fstest.Options{})
	if err := errors.Join(host.Send("event 1 x", "event 2 a", "event 3 fail", "event 4 b"), host.Watermark(0, 1)); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{host.Watermark(0, 9), host.Send("delete fail"), host.Restart(), host.AdvanceTime(5)} {
		var failed *fstest.TimerError
		if !errors.As(err, &failed) || string(failed.Timer.Key) != "fail" || err.Error() != "the timer 'fail' of 3: as told" {
			t.Fatal(err)
		}
	}
	emits(t, host, "event time 1 x 1", "event time 2 a 2")
	if left := host.Timers(); len(left) != 2 {
		t.Error(left)
	}
	if marks := host.Watermarks(); len(marks) != 1 || marks[0].Watermark != 1 {
		t.Error("a watermark was told before its timers fired:", marks)
	}
}

func TestTheWatermarkIsToldAfterTheTimersThatItMadeDue(t *testing.T) {
	host := alarmed(t, fstest.Options{Config: map[string]string{"tell": "20"}})
	if err := errors.Join(host.Send("event 10 again", "event 12 b"), host.Watermark(0, 20), host.Watermark(0, 20), host.Watermark(0, 7)); err != nil {
		t.Fatal(err)
	}
	emits(t, host, "event time 10 again 1", "event time 12 b 2", "event time 11 once 3", "told 20")
}

func TestAFailedRecordSetsNoTimer(t *testing.T) {
	host := alarmed(t, fstest.Options{})
	if err := host.Send("event 10 a", "nonsense", "event 20 b"); err == nil {
		t.Fatal("a record did not fail")
	}
	if left := host.Timers(); len(left) != 2 {
		t.Fatal(left)
	}
}

// circle sets a timer for each record, and another one for the same time when one fires, as often as its key says.
type circle struct{ fssdk.BaseDriver }

func (circle) Process(ctx fssdk.Context, _ uint32, data []byte) error {
	domain := fssdk.EventTime
	if data[0] == 'p' {
		domain = fssdk.ProcessingTime
	}
	return ctx.(fssdk.TimerContext).SetTimer(domain, data[1:], 20)
}

func (circle) ProcessWatermark(ctx fssdk.Context, _ uint32, watermark uint64) error {
	return ctx.Emit(0, fmt.Appendf(nil, "watermark %d", watermark))
}

func (circle) OnTimer(ctx fssdk.Context, timer fssdk.Timer) error {
	if err := ctx.Emit(0, fmt.Appendf(nil, "%s at %d", timer.Key, timer.Time)); err != nil || len(timer.Key) == 0 {
		return err
	}
	if timer.Key[0] != '*' {
		timer.Key = timer.Key[1:]
	}
	return ctx.(fssdk.TimerContext).SetTimer(timer.Domain, timer.Key, timer.Time)
}

func TestTimerForATimeThatFiresComesAfterTheWatermark(t *testing.T) {
	host, err := fstest.New(func() fssdk.Driver { return circle{} }, fstest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(host.Send("eab"), host.Watermark(0, 20), host.Watermark(0, 30)); err != nil {
		t.Fatal(err)
	}
	want := []string{"ab at 20", "watermark 20", "b at 20", " at 20", "watermark 30"}
	check := func() {
		t.Helper()
		var got []string
		for _, emitted := range host.Emitted() {
			got = append(got, string(emitted.Value))
		}
		if !slices.Equal(got, want) {
			t.Errorf("got %q", got)
		}
	}
	check()
	// A new instance is given all of it again, and does the same.
	if err := host.Restart(); err != nil {
		t.Fatal(err)
	}
	check()
}

func TestTimersWithoutEndAreAnErrorAndNotATestThatHangs(t *testing.T) {
	for _, record := range []string{"e*", "p*"} {
		host, err := fstest.New(func() fssdk.Driver { return circle{} }, fstest.Options{})
		if err != nil {
			t.Fatal(err)
		}
		err = errors.Join(host.Send(record), host.Watermark(0, 20), host.AdvanceTime(20))
		if err == nil || !strings.Contains(err.Error(), "without end") {
			t.Errorf("%s: %v", record, err)
		}
	}
}
