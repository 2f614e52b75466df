// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

package impl

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/functionstream/function-stream/go-sdk/api"
)

var oneOutput = api.Metadata{Outputs: []string{"output"}}

// brokenHost refuses what it is told to refuse.
type brokenHost struct {
	emit, write error
	frames      int
	timers      int
}

func (h *brokenHost) EmitFrame([]byte) error             { h.frames++; return h.emit }
func (h *brokenHost) EmitWatermark(uint32, uint64) error { return nil }
func (h *brokenHost) SetTimer(api.TimeDomain, []byte, int64) error {
	h.timers++
	return h.write
}
func (h *brokenHost) DeleteTimer(api.TimeDomain, []byte) error {
	h.timers++
	return h.write
}
func (h *brokenHost) OpenStore(string) (StoreHost, error) {
	return h, nil
}
func (h *brokenHost) Get([]byte) ([]byte, bool, error) { return nil, false, nil }
func (h *brokenHost) Write([]byte) error               { return h.write }
func (h *brokenHost) Scan([]byte, []byte, uint32) (pairs, next []byte, err error) {
	return nil, nil, nil
}

// driver does what a test says.
type driver struct {
	api.BaseDriver
	process func(ctx api.Context, data []byte) error
	init    func(ctx api.Context) error
}

func (d *driver) Init(ctx api.Context, _ map[string]string) error {
	if d.init == nil {
		return nil
	}
	return d.init(ctx)
}

func (d *driver) Process(ctx api.Context, _ uint32, data []byte) error { return d.process(ctx, data) }

func started(t *testing.T, host Host, d api.Driver) *Runtime {
	t.Helper()
	var runtime Runtime
	runtime.Register(d)
	if err := runtime.Init(NewBatch(host, nil, oneOutput), nil); err != nil {
		t.Fatal(err)
	}
	return &runtime
}

func batchOf(values ...string) []byte {
	records := make([]FrameRecord, len(values))
	for i, value := range values {
		records[i].Value = []byte(value)
	}
	return EncodeFrame(records)
}

func code(err error) api.ErrorCode {
	var sdk *api.SDKError
	if errors.As(err, &sdk) {
		return sdk.Code
	}
	return ""
}

func TestAnErrorNamesItsRecord(t *testing.T) {
	bad := errors.New("bad value")
	runtime := started(t, &brokenHost{}, &driver{process: func(_ api.Context, data []byte) error {
		if string(data) == "bad" {
			return bad
		}
		return nil
	}})
	if index, err := runtime.ProcessBatch(batchOf("a", "bad", "b")); index != 1 || !errors.Is(err, bad) {
		t.Fatal(index, err)
	}
}

func TestAPanicIsTheRecordsErrorWithItsStack(t *testing.T) {
	runtime := started(t, &brokenHost{}, &driver{process: func(_ api.Context, data []byte) error {
		var nothing map[string]int
		nothing[string(data)] = 1
		return nil
	}})
	index, err := runtime.ProcessBatch(batchOf("a"))
	if index != 0 || !strings.Contains(Text(err), "assignment to entry in nil map") || !strings.Contains(Text(err), "runtime_test.go") {
		t.Fatal(index, err)
	}
	if _, err := runtime.ProcessBatch(batchOf()); err != nil {
		t.Fatal("the runtime does not go on:", err)
	}
}

func TestWhatTheHostRefusesIsNoRecordsFault(t *testing.T) {
	refused := errors.New("refused")
	for name, host := range map[string]*brokenHost{"emit": {emit: refused}, "write": {write: refused}} {
		var store api.Store
		runtime := started(t, host, &driver{
			init: func(ctx api.Context) (err error) { store, err = ctx.GetOrCreateStore("s"); return err },
			process: func(ctx api.Context, data []byte) error {
				_ = store.PutState(data, data)
				return ctx.Emit(0, data)
			},
		})
		if index, err := runtime.ProcessBatch(batchOf("a", "b")); index != NoRecord || !errors.Is(err, refused) {
			t.Error(name, index, err)
		}
	}
}

func TestAFaultCannotBeHiddenByTheDriver(t *testing.T) {
	refused := errors.New("refused")
	runtime := started(t, &brokenHost{emit: refused}, &driver{process: func(ctx api.Context, data []byte) error {
		_ = ctx.Emit(0, make([]byte, 700_000))
		return nil
	}})
	if index, err := runtime.ProcessBatch(batchOf("a", "b", "c")); index != NoRecord || !errors.Is(err, refused) {
		t.Fatal(index, err)
	}
}

func TestOneFramePerBatch(t *testing.T) {
	host := &brokenHost{}
	runtime := started(t, host, &driver{process: func(ctx api.Context, data []byte) error { return ctx.Emit(0, data) }})
	if _, err := runtime.ProcessBatch(batchOf("a", "b", "c")); err != nil || host.frames != 1 {
		t.Fatal(err, host.frames)
	}
}

func TestMistakesOfRun(t *testing.T) {
	var none, twice, never Runtime
	none.Register(nil)
	twice.Register(&driver{})
	twice.Register(&driver{})
	for name, runtime := range map[string]*Runtime{"nil": &none, "twice": &twice, "never": &never} {
		if err := runtime.Init(NewBatch(&brokenHost{}, nil, oneOutput), nil); code(err) != api.ErrRuntimeInvalidDriver {
			t.Error(name, err)
		}
		if err := runtime.Process(0, nil); code(err) != api.ErrRuntimeInvalidDriver {
			t.Error(name, err)
		}
	}
}

func TestCallsBeforeInit(t *testing.T) {
	var runtime Runtime
	runtime.Register(&driver{})
	_, ofBatch := runtime.ProcessBatch(batchOf("a"))
	_, ofCustom := runtime.Custom(nil)
	well, ofHeartbeat := runtime.CheckHeartbeat()
	for i, err := range []error{ofBatch, ofCustom, ofHeartbeat, runtime.Close(), runtime.TakeCheckpoint(1)} {
		if code(err) != api.ErrRuntimeNotInitialized {
			t.Error(i, err)
		}
	}
	if well {
		t.Error("a function that was not initialized is not well")
	}
}

func TestAFailedInitLeavesTheFunctionUninitialized(t *testing.T) {
	var runtime Runtime
	runtime.Register(&driver{init: func(api.Context) error { return errors.New("no config") }})
	if err := runtime.Init(NewBatch(&brokenHost{}, nil, oneOutput), nil); Text(err) != "no config" {
		t.Fatal(err)
	}
	if err := runtime.TakeCheckpoint(1); code(err) != api.ErrRuntimeNotInitialized {
		t.Fatal(err)
	}
}

func TestInitTwiceIsRefused(t *testing.T) {
	runtime := started(t, &brokenHost{}, &driver{})
	if err := runtime.Init(NewBatch(&brokenHost{}, nil, oneOutput), nil); code(err) != api.ErrResultUnexpected {
		t.Error(err)
	}
	_ = runtime.Close()
	if err := runtime.Init(NewBatch(&brokenHost{}, nil, oneOutput), nil); code(err) != api.ErrRuntimeClosed {
		t.Error(err)
	}
}

func TestTextIsUTF8AndBounded(t *testing.T) {
	if got := Text(errors.New("a\xffb")); got != "a\uFFFDb" {
		t.Errorf("%q", got)
	}
	if got := len(Text(errors.New(strings.Repeat("x", 1<<20)))); got > mostText+10 {
		t.Error(got)
	}
	if got := Text(panicking{}); !strings.Contains(got, "an error whose own text panics") {
		t.Error(got)
	}
}

type panicking struct{}

func (panicking) Error() string { panic("no text") }

func TestTheRecordAtHandIsKeptForAHostToRead(t *testing.T) {
	var runtime *Runtime
	seen := []uint32{}
	d := &driver{process: func(api.Context, []byte) error {
		seen = append(seen, runtime.atHand)
		return nil
	}}
	host := &brokenHost{}
	runtime = started(t, host, d)
	if _, err := runtime.ProcessBatch(batchOf("a", "b", "c")); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(seen, []uint32{0, 1, 2}) || runtime.atHand != NoRecord {
		t.Fatalf("%v, and %d in the end", seen, runtime.atHand)
	}
}
