// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

package fstest_test

import (
	"bytes"
	"errors"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	fssdk "github.com/functionstream/function-stream/go-sdk"
	"github.com/functionstream/function-stream/go-sdk/fstest"
)

// counter counts values in state, and in a field, which it must not rely on.
type counter struct {
	fssdk.BaseDriver
	store fssdk.Store
	ctx   fssdk.Context
	field int
}

func (c *counter) Init(ctx fssdk.Context, config map[string]string) (err error) {
	if config["fail"] != "" {
		return errors.New(config["fail"])
	}
	c.ctx = ctx
	c.store, err = ctx.GetOrCreateStore("counts")
	return err
}

func (c *counter) Process(ctx fssdk.Context, source uint32, data []byte) error {
	switch string(data) {
	case "bad":
		return errors.New("bad value")
	case "panic":
		panic("too bad")
	case "target":
		return ctx.Emit(9, data)
	}
	value, _, err := c.store.GetState(data)
	if err != nil {
		return err
	}
	n, _ := strconv.Atoi(string(value))
	c.field++
	if err := c.store.PutState(data, []byte(strconv.Itoa(n+1))); err != nil {
		return err
	}
	return ctx.Emit(source, []byte(string(data)+"="+strconv.Itoa(n+1)))
}

func (c *counter) ProcessWatermark(ctx fssdk.Context, _ uint32, watermark uint64) error {
	return ctx.EmitWatermark(0, watermark)
}

func (c *counter) TakeCheckpoint(ctx fssdk.Context, id uint64) error {
	return c.store.PutState([]byte("checkpoint"), []byte(strconv.FormatUint(id, 10)))
}

func (c *counter) CheckHeartbeat(fssdk.Context) bool { return c.field < 100 }

func newCounter(t *testing.T) *fstest.Host {
	t.Helper()
	host, err := fstest.New(func() fssdk.Driver { return &counter{} }, fstest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return host
}

func check(t *testing.T, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Fatalf("got %q, not %q", got, want)
	}
}

func TestCountsSurviveARestart(t *testing.T) {
	host := newCounter(t)
	if err := errors.Join(host.Send("a", "b", "a"), host.Checkpoint(), host.Send("a"), host.Restart(), host.Send("b")); err != nil {
		t.Fatal(err)
	}
	check(t, host.Values(), []string{"a=1", "b=1", "a=2", "a=3", "b=2"})
	if len(host.Committed()) != 3 || host.Epoch() != 1 {
		t.Fatal(host.Committed(), host.Epoch())
	}
	if value, found := host.State("counts").Get("a"); !found || string(value) != "3" {
		t.Fatal(value, found)
	}
	check(t, host.State("counts").Keys(), []string{"a", "b", "checkpoint"})
}

func TestAFailedRecordIsLeftOut(t *testing.T) {
	for _, bad := range []string{"bad", "panic", "target"} {
		host := newCounter(t)
		err := errors.Join(host.Send("a"), host.Send("a", bad, "b", bad))
		var failed *fstest.RecordError
		if !errors.As(err, &failed) || failed.Index != 1 || !strings.Contains(err.Error(), "record 3: ") {
			t.Fatal(err)
		}
		check(t, host.Values(), []string{"a=1", "a=2", "b=1"})
	}
}

func TestAPanicBringsItsStack(t *testing.T) {
	err := newCounter(t).Send("panic")
	if err == nil || !strings.Contains(err.Error(), "panic: too bad") || !strings.Contains(err.Error(), "fstest_test.go") {
		t.Fatal(err)
	}
}

func TestAnUnknownTargetIsAnError(t *testing.T) {
	err := newCounter(t).Send("target")
	var sdk *fssdk.SDKError
	if !errors.As(err, &sdk) || sdk.Code != fssdk.ErrResultUnexpected || !strings.Contains(err.Error(), "emitted to output 9, but the function has 1") {
		t.Fatal(err)
	}
}

func TestInitErrorsAreTold(t *testing.T) {
	_, err := fstest.New(func() fssdk.Driver { return &counter{} }, fstest.Options{Config: map[string]string{"fail": "no such city"}})
	if err == nil || err.Error() != "no such city" {
		t.Fatal(err)
	}
}

func TestAnUnwellFunctionIsReplaced(t *testing.T) {
	host := newCounter(t)
	if well, err := host.Heartbeat(); !well || err != nil {
		t.Fatal(well, err)
	}
	for i := 0; i < 100; i++ {
		if err := errors.Join(host.Send("x"), host.Checkpoint()); err != nil {
			t.Fatal(err)
		}
	}
	if well, err := host.Heartbeat(); well || err != nil {
		t.Fatal(well, err)
	}
	if well, _ := host.Heartbeat(); !well {
		t.Fatal("the new instance has the old one's fields")
	}
}

func TestNothingWorksAfterClose(t *testing.T) {
	var kept *counter
	host, err := fstest.New(func() fssdk.Driver { kept = &counter{}; return kept }, fstest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	iterator, _ := kept.store.ScanComplex(nil, nil, nil)
	if err := host.Stop(); err != nil {
		t.Fatal(err)
	}
	_, ofCustom := host.Custom(nil)
	_, _, ofGet := kept.store.GetState([]byte("a"))
	_, ofOpen := kept.ctx.GetOrCreateStore("b")
	_, ofIterator := iterator.HasNext()
	all := []error{host.Send("a"), host.Checkpoint(), host.Exec("x"), ofCustom, ofGet, ofOpen, ofIterator, kept.ctx.Emit(0, nil), kept.ctx.EmitWatermark(0, 1),
		kept.store.PutState(nil, nil), kept.store.Merge(fssdk.ComplexKey{}, nil)}
	for i, err := range all {
		if !errors.Is(err, &fssdk.SDKError{Code: fssdk.ErrRuntimeClosed}) {
			t.Error(i, err)
		}
	}
}

// passThrough emits records as they are.
type passThrough struct{ fssdk.BaseDriver }

func (passThrough) Process(ctx fssdk.Context, _ uint32, _ []byte) error {
	records := ctx.(fssdk.RecordContext)
	return records.EmitRecord(0, records.Record())
}

func TestWholeRecordsPassThrough(t *testing.T) {
	host, err := fstest.New(func() fssdk.Driver { return passThrough{} }, fstest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	headers := []fssdk.Header{{Name: "h", Value: []byte("1")}}
	records := []fstest.Record{{Key: []byte{}, Headers: headers, Timestamp: 5, Value: []byte("a")}, {Timestamp: -1, Value: []byte("b")}}
	if err := errors.Join(host.Process(records...), host.Process(fstest.Record{Headers: []fssdk.Header{{Name: "a\xff"}}})); err == nil || !strings.Contains(err.Error(), "the name of a header") {
		t.Fatal(err)
	}
	for i, got := range host.Emitted() {
		want := fssdk.Record{Key: records[i].Key, Headers: records[i].Headers, Timestamp: records[i].Timestamp, Value: records[i].Value}
		if !reflect.DeepEqual(got.Record, want) {
			t.Errorf("%v is not %v", got.Record, want)
		}
	}
}

func TestCustomEchoesByDefault(t *testing.T) {
	payload := []byte("ping")
	answer, err := newCounter(t).Custom(payload)
	if err != nil || string(answer) != "ping" || &answer[0] == &payload[0] {
		t.Fatal(answer, err)
	}
}

func TestWatermarksAreForwarded(t *testing.T) {
	host := newCounter(t)
	if err := errors.Join(host.Watermark(0, 7), host.Restart()); err != nil {
		t.Fatal(err)
	}
	if marks := host.Watermarks(); !slices.Equal(marks, []fstest.Watermark{{Target: 0, Watermark: 7}}) {
		t.Fatal(marks)
	}
}

// open runs a function with a store on an open host.
func open(t *testing.T, run func(ctx fssdk.Context, store fssdk.Store)) {
	t.Helper()
	var kept *counter
	if _, err := fstest.New(func() fssdk.Driver { kept = &counter{}; return kept }, fstest.Options{}); err != nil {
		t.Fatal(err)
	}
	run(kept.ctx, kept.store)
}

func TestStoreNamesAreChecked(t *testing.T) {
	open(t, func(ctx fssdk.Context, _ fssdk.Store) {
		for _, name := range []string{"", strings.Repeat("x", 256), "a\xff"} {
			if _, err := ctx.GetOrCreateStore(name); !errors.Is(err, &fssdk.SDKError{Code: fssdk.ErrStoreInvalidName}) {
				t.Errorf("%q: %v", name, err)
			}
		}
		if _, err := ctx.GetOrCreateStore(strings.Repeat("x", 255)); err != nil {
			t.Error(err)
		}
	})
}

func TestAClosedHandleIsNoStore(t *testing.T) {
	open(t, func(ctx fssdk.Context, store fssdk.Store) {
		_ = store.PutState([]byte("k"), []byte("v"))
		if err := errors.Join(store.Close(), store.Close()); err != nil {
			t.Fatal(err)
		}
		if err := store.PutState(nil, nil); !errors.Is(err, &fssdk.SDKError{Code: fssdk.ErrStoreNotFound}) {
			t.Error(err)
		}
		again, err := ctx.GetOrCreateStore("counts")
		if err != nil {
			t.Fatal(err)
		}
		if value, found, err := again.GetState([]byte("k")); !found || string(value) != "v" || err != nil {
			t.Error(value, found, err)
		}
	})
}

func TestAClosedIteratorGivesErrors(t *testing.T) {
	open(t, func(_ fssdk.Context, store fssdk.Store) {
		key := fssdk.ComplexKey{KeyGroup: []byte("g"), UserKey: []byte("u")}
		_ = store.Put(key, nil)
		iterator, err := store.ScanComplex([]byte("g"), nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		if k, v, ok, err := iterator.Next(); !ok || err != nil || string(k) != "u" || v == nil {
			t.Fatal(k, v, ok, err)
		}
		_ = iterator.Close()
		if _, _, _, err := iterator.Next(); !errors.Is(err, &fssdk.SDKError{Code: fssdk.ErrStoreInternal}) {
			t.Error(err)
		}
		if err := iterator.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestLargeValuesAreKept(t *testing.T) {
	open(t, func(_ fssdk.Context, store fssdk.Store) {
		large := bytes.Repeat([]byte("0123456789abcdef"), 20<<20/16)
		if err := errors.Join(store.PutState([]byte("k"), large), store.PutState([]byte("small"), []byte("s"))); err != nil {
			t.Fatal(err)
		}
		for i := 0; i < 2; i++ {
			if value, found, err := store.GetState([]byte("k")); !found || err != nil || !bytes.Equal(value, large) {
				t.Fatal(len(value), found, err)
			}
		}
	})
}

func TestGivenBytesBelongToTheCaller(t *testing.T) {
	open(t, func(_ fssdk.Context, store fssdk.Store) {
		value := []byte("abc")
		_ = store.PutState([]byte("k"), value)
		value[0] = 'x'
		read, _, _ := store.GetState([]byte("k"))
		read[1] = 'y'
		if again, _, _ := store.GetState([]byte("k")); string(again) != "abc" {
			t.Fatalf("%s", again)
		}
	})
}
