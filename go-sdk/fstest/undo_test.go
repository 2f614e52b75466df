// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

package fstest_test

import (
	"errors"
	"fmt"
	"math/rand"
	"slices"
	"strconv"
	"strings"
	"testing"

	fssdk "github.com/functionstream/function-stream/go-sdk"
	"github.com/functionstream/function-stream/go-sdk/fstest"
)

// failing carries out random operations, which depend on nothing but the record, and fails at some records after it has done so. The
// test's model follows: a record that fails changes nothing, and a new instance begins with the last checkpoint.
type failing struct {
	fssdk.BaseDriver
	test  *failingTest
	store fssdk.Store
	// How many records this instance was given.
	given int
}

type failingTest struct {
	*testing.T
	now, committed model
	instances      int
	given          int
}

func (f *failing) Init(ctx fssdk.Context, _ map[string]string) (err error) {
	f.test.instances++
	f.test.now = f.test.committed.clone()
	f.store, err = ctx.GetOrCreateStore("s")
	return err
}

func (f *failing) Process(ctx fssdk.Context, _ uint32, data []byte) error {
	f.given++
	f.test.given = f.given
	word, number, _ := strings.Cut(string(data), " ")
	seed, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		return err
	}
	before := f.test.now.clone()
	random := rand.New(rand.NewSource(seed))
	for range steps(seed) {
		step(f.test.T, random, f.store, f.test.now)
		if err := ctx.Emit(0, data); err != nil {
			return err
		}
	}
	switch word {
	case "fail":
		f.test.now = before
		return errors.New("as told")
	case "panic":
		f.test.now = before
		panic("as told")
	}
	return nil
}

// steps is the number of operations of a record.
func steps(seed int64) int {
	if seed == 0 {
		return 0
	}
	return 1 + rand.New(rand.NewSource(seed)).Intn(6)
}

func TestARecordThatFailsIsUndoneAmongOthers(t *testing.T) {
	for seed := int64(0); seed < 4; seed++ {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { failSome(t, rand.New(rand.NewSource(seed))) })
	}
}

func failSome(t *testing.T, random *rand.Rand) {
	test := &failingTest{T: t, committed: model{"": {}, "a": {}, "b": {}}}
	host, err := fstest.New(func() fssdk.Driver { return &failing{test: test} }, fstest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	failed, emitted := 0, []string{}
	for range 300 {
		words := []string{}
		for range 1 + random.Intn(12) {
			word := []string{"do", "do", "fail"}[random.Intn(3)]
			words = append(words, fmt.Sprint(word, " ", random.Int63n(1<<40)))
		}
		err := host.Send(words...)
		for i, word := range words {
			if strings.HasPrefix(word, "fail") {
				failed++
			} else {
				seed, _ := strconv.ParseInt(word[3:], 10, 64)
				for range steps(seed) {
					emitted = append(emitted, word)
				}
			}
			if told := err != nil && strings.Contains(err.Error(), fmt.Sprintf("record %d: as told", i)); told != strings.HasPrefix(word, "fail") {
				t.Fatalf("whether record %d of %q failed: %v", i, words, err)
			}
		}
		for part := range test.now {
			compare(t, host, part, test.now)
		}
		if random.Intn(4) == 0 {
			if err := host.Checkpoint(); err != nil {
				t.Fatal(err)
			}
			test.committed = test.now.clone()
		}
	}
	if got := host.Values(); !slices.Equal(got, emitted) {
		t.Fatalf("emitted %d records, not %d, or others", len(got), len(emitted))
	}
	// Some cannot be undone, since the host had to be asked amid their writes.
	if undone := failed - test.instances + 1; undone < failed/2 || undone == failed {
		t.Fatalf("%d of %d were undone", undone, failed)
	}
}

// compare looks beside the function's own cache.
func compare(t *testing.T, host *fstest.Host, part string, model model) {
	state := host.State("s")
	for key, want := range model[part] {
		value, found := state.Get(key)
		if part != "" {
			value, found = state.GetComplex(fssdk.ComplexKey{KeyGroup: []byte("g"), Key: []byte(part), UserKey: []byte(key)})
		}
		if !found || string(value) != want {
			t.Fatalf("%q of part %q is %q, %v, not %q", key, part, value, found, want)
		}
	}
	if keys := state.Keys(); part == "" && len(keys) != len(model[part]) {
		t.Fatalf("there are %d keys, not %d", len(keys), len(model[part]))
	}
}

func TestAnErrorKeepsTheInstanceAndAPanicDoesNot(t *testing.T) {
	test := &failingTest{T: t, committed: model{"": {}, "a": {}, "b": {}}}
	host, err := fstest.New(func() fssdk.Driver { return &failing{test: test} }, fstest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	_ = host.Send("do 1", "fail 0", "do 2")
	if test.instances != 1 || test.given != 3 {
		t.Fatalf("after an error: instance %d, which was given %d records", test.instances, test.given)
	}
	_ = host.Send("panic 0", "do 4")
	if test.instances != 2 || test.given != 3 {
		t.Fatalf("after a panic: instance %d, which was given %d records", test.instances, test.given)
	}
}
