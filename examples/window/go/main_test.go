// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"slices"
	"testing"

	fssdk "github.com/functionstream/function-stream/go-sdk"
	"github.com/functionstream/function-stream/go-sdk/fstest"
)

func started(t *testing.T, config map[string]string) *fstest.Host {
	t.Helper()
	host, err := fstest.New(func() fssdk.Driver { return &window{} }, fstest.Options{Config: config})
	if err != nil {
		t.Fatal(err)
	}
	return host
}

func at(key string, timestamp int64) fstest.Record {
	return fstest.Record{Key: []byte(key), Timestamp: timestamp}
}

func emits(t *testing.T, host *fstest.Host, wanted ...string) {
	t.Helper()
	if got := host.Values(); !slices.Equal(got, wanted) {
		t.Errorf("emitted %q, not %q", got, wanted)
	}
}

func dropped(t *testing.T, host *fstest.Host, wanted string) {
	t.Helper()
	if got, err := host.Custom([]byte("dropped")); err != nil || string(got) != wanted {
		t.Errorf("%s records were dropped, not %s: %v", got, wanted, err)
	}
}

func TestAWindowIsEmittedOnceWhenTheWatermarkPassesItsEnd(t *testing.T) {
	host := started(t, nil)
	// Out of order, in two windows and of two keys; with an instance that dies in between.
	err := errors.Join(
		host.Process(at("a", 9_999), at("a", 10_000), at("b", 3), at("a", 0), at("a", -1)),
		host.Watermark(0, 9_999), host.Checkpoint(), host.Restart(),
		host.Process(at("a", 10_500), at("a", 9_998)))
	emits(t, host, `{"key":"a","window":-10000,"count":1}`)
	err = errors.Join(err, host.Watermark(0, 10_000), host.Restart(), host.Checkpoint())
	if err != nil {
		t.Fatal(err)
	}
	first := []string{`{"key":"a","window":-10000,"count":1}`, `{"key":"a","window":0,"count":3}`, `{"key":"b","window":0,"count":1}`}
	emits(t, host, first...)
	if err := errors.Join(host.Restart(), host.Watermark(0, 30_000)); err != nil {
		t.Fatal(err)
	}
	emits(t, host, append(first, `{"key":"a","window":10000,"count":2}`)...)
	if left := host.State("counts").Len() + len(host.Timers()); left != 0 {
		t.Errorf("%d counts and timers are left", left)
	}
	dropped(t, host, "0")
	if marks := host.Watermarks(); len(marks) != 3 || marks[2].Watermark != 30_000 {
		t.Error("the watermarks that were passed on are", marks)
	}
}

func TestARecordOfAWindowThatIsOverIsDropped(t *testing.T) {
	host := started(t, map[string]string{"window": "1s"})
	err := errors.Join(host.Process(at("a", 100)), host.Watermark(0, 2_000), host.Checkpoint(), host.Restart(),
		host.Process(at("a", 100), at("b", 1_999), at("a", 2_000)), host.Watermark(0, 3_000))
	if err != nil {
		t.Fatal(err)
	}
	emits(t, host, `{"key":"a","window":0,"count":1}`, `{"key":"a","window":2000,"count":1}`)
	dropped(t, host, "2")
}

func TestAWindowThatIsNoDurationIsRefused(t *testing.T) {
	for _, text := range []string{"ten", "0s", "-1s", "1us"} {
		if _, err := fstest.New(func() fssdk.Driver { return &window{} }, fstest.Options{Config: map[string]string{"window": text}}); err == nil {
			t.Errorf("'%s' was taken", text)
		}
	}
}
