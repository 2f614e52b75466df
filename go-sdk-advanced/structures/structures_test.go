// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

package structures_test

import (
	"errors"
	"slices"
	"testing"

	fssdk "github.com/functionstream/function-stream/go-sdk"
	"github.com/functionstream/function-stream/go-sdk-advanced/codec"
	"github.com/functionstream/function-stream/go-sdk-advanced/keyed"
	"github.com/functionstream/function-stream/go-sdk-advanced/structures"
	"github.com/functionstream/function-stream/go-sdk/fstest"
)

type keep struct {
	fssdk.BaseDriver
	ctx *fssdk.Context
}

func (k keep) Init(ctx fssdk.Context, _ map[string]string) error {
	*k.ctx = ctx
	return nil
}

func context(t *testing.T) (ctx fssdk.Context) {
	t.Helper()
	if _, err := fstest.New(func() fssdk.Driver { return keep{ctx: &ctx} }, fstest.Options{}); err != nil {
		t.Fatal(err)
	}
	return ctx
}

func TestAListOfFixedSizesIsThisPayload(t *testing.T) {
	ctx := context(t)
	numbers, err := structures.NewListStateFromContext(ctx, "numbers", codec.Int16Codec{})
	if err != nil {
		t.Fatal(err)
	}
	words, err := structures.NewListStateFromContextAutoCodec[string](ctx, "words")
	if err != nil {
		t.Fatal(err)
	}
	if err := numbers.AddAll([]int16{1, -1}); err != nil {
		t.Fatal(err)
	}
	if err := words.AddAll([]string{"ab", ""}); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"numbers": "\x80\x01\x7f\xff", "words": "\x00\x00\x00\x02ab\x00\x00\x00\x00"} {
		store, _ := ctx.GetOrCreateStore(name)
		data, found, err := store.Get(fssdk.ComplexKey{Key: []byte("l")})
		if !found || err != nil || string(data) != want {
			t.Errorf("%s is %q, %v, %v", name, data, found, err)
		}
	}
	if got, err := words.Get(); err != nil || !slices.Equal(got, []string{"ab", ""}) {
		t.Error(got, err)
	}
}

func TestACorruptListIsAnError(t *testing.T) {
	ctx := context(t)
	store, _ := ctx.GetOrCreateStore("s")
	words, _ := structures.NewListStateFromContextAutoCodec[string](ctx, "s")
	for _, data := range []string{"\x00", "\x00\x00\x00\x05ab", "\xff\xff\xff\xff"} {
		_ = store.Put(fssdk.ComplexKey{Key: []byte("l")}, []byte(data))
		if got, err := words.Get(); err == nil {
			t.Errorf("%q is %q", data, got)
		}
	}
}

func TestAQueueNeedsAnOrder(t *testing.T) {
	if _, err := structures.NewPriorityQueueStateFromContextAutoCodec[[]int](context(t), "s"); err == nil {
		t.Error("JSON has no order")
	}
}

func TestMistakesOfConstruction(t *testing.T) {
	ctx := context(t)
	if _, err := structures.NewValueStateFromContext[int](ctx, "s", nil); err == nil {
		t.Error("no codec")
	}
	if _, err := structures.NewReducingStateFromContextAutoCodec[int](ctx, "s", nil); err == nil {
		t.Error("no function")
	}
	if _, err := structures.NewValueStateFromContextAutoCodec[int](nil, "s"); err == nil {
		t.Error("no context")
	}
	if _, err := structures.NewValueStateFromContextAutoCodec[int](ctx, ""); err == nil {
		t.Error("no name")
	}
	if _, err := structures.NewMapStateAutoKeyCodecFromContext[string](ctx, "s", codec.IntCodec{}); err != nil {
		t.Error(err)
	}
}

type total struct{}

func (total) CreateAccumulator() int64   { return 0 }
func (total) Add(value, acc int64) int64 { return acc + value }
func (total) GetResult(acc int64) int64  { return acc }
func (total) Merge(a, b int64) int64     { return a + b }

func TestAnAggregateTakesTheValuesOfAnother(t *testing.T) {
	ctx := context(t)
	one, err := structures.NewAggregatingStateFromContextAutoCodec(ctx, "one", total{})
	if err != nil {
		t.Fatal(err)
	}
	factory, err := keyed.NewKeyedAggregatingStateFactoryFromContextAutoCodec(ctx, "two", nil, total{})
	if err != nil {
		t.Fatal(err)
	}
	two, _ := factory.NewAggregatingState([]byte("k"), "")
	check := func(want int64, wanted bool) {
		t.Helper()
		if got, found, err := one.Get(); got != want || found != wanted || err != nil {
			t.Error(got, found, err)
		}
	}
	if err := one.Merge(two); err != nil {
		t.Error(err)
	}
	check(0, false)
	if err := errors.Join(two.Add(3), one.Merge(two)); err != nil {
		t.Error(err)
	}
	check(3, true)
	if err := errors.Join(one.Add(1), one.Merge(two)); err != nil {
		t.Error(err)
	}
	check(7, true)
}
