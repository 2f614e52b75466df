// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

package fstest_test

import (
	"bytes"
	"fmt"
	"math/rand"
	"slices"
	"sort"
	"strings"
	"testing"

	fssdk "github.com/functionstream/function-stream/go-sdk"
	"github.com/functionstream/function-stream/go-sdk/fstest"
)

// operator carries out random operations on its store, and on a model that survives restarts in the test's hands.
type operator struct {
	fssdk.BaseDriver
	store fssdk.Store
	run   func(store fssdk.Store)
}

func (o *operator) Init(ctx fssdk.Context, _ map[string]string) (err error) {
	o.store, err = ctx.GetOrCreateStore("s")
	return err
}

func (o *operator) Process(fssdk.Context, uint32, []byte) error {
	o.run(o.store)
	return nil
}

// model is state as it should be: part of a key -> user key -> value. Simple keys have the part "".
type model map[string]map[string]string

func (m model) clone() model {
	clone := model{}
	for part, values := range m {
		clone[part] = map[string]string{}
		for key, value := range values {
			clone[part][key] = value
		}
	}
	return clone
}

func (m model) keys(part, start, end string) []string {
	keys := []string{}
	for key := range m[part] {
		if key >= start && key < end {
			keys = append(keys, key)
		}
	}
	sort.Strings(keys)
	return keys
}

func TestRandomOperationsAgreeWithAModel(t *testing.T) {
	for seed := int64(0); seed < 4; seed++ {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { operate(t, rand.New(rand.NewSource(seed))) })
	}
}

func operate(t *testing.T, random *rand.Rand) {
	now := model{"": {}, "a": {}, "b": {}}
	committed := now.clone()
	run := &operator{}
	host, err := fstest.New(func() fssdk.Driver { return &operator{run: func(store fssdk.Store) { run.run(store) }} }, fstest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for batch := 0; batch < 400; batch++ {
		run.run = func(store fssdk.Store) {
			for i := 0; i < 30; i++ {
				step(t, random, store, now)
			}
		}
		if err := host.Send("go"); err != nil {
			t.Fatal(err)
		}
		switch random.Intn(4) {
		case 0:
			if err := host.Checkpoint(); err != nil {
				t.Fatal(err)
			}
			committed = now.clone()
		case 1:
			// The batches since the checkpoint come again, and do nothing this time.
			run.run = func(fssdk.Store) {}
			if err := host.Restart(); err != nil {
				t.Fatal(err)
			}
			now = committed.clone()
		}
	}
}

func step(t *testing.T, random *rand.Rand, store fssdk.Store, model model) {
	part := []string{"", "a", "b"}[random.Intn(3)]
	user := fmt.Sprint(random.Intn(40))
	if random.Intn(200) == 0 {
		user = strings.Repeat("k", random.Intn(3000))
	}
	key := fssdk.ComplexKey{KeyGroup: []byte("g"), Key: []byte(part), UserKey: []byte(user)}
	value := bytes.Repeat([]byte{byte('a' + random.Intn(26))}, random.Intn(20))
	if random.Intn(50) == 0 {
		value = bytes.Repeat(value, 20_000)
	}
	var err error
	switch op := random.Intn(12); {
	case op < 3:
		if part == "" {
			err = store.PutState([]byte(user), value)
		} else {
			err = store.Put(key, value)
		}
		model[part][user] = string(value)
	case op < 7:
		var got []byte
		var found bool
		if part == "" {
			got, found, err = store.GetState([]byte(user))
		} else {
			got, found, err = store.Get(key)
		}
		if want, has := model[part][user]; found != has || string(got) != want {
			t.Fatalf("%q of part %q is %q, %v, not %q, %v", user, part, got, found, want, has)
		}
	case op < 8:
		if part == "" {
			err = store.DeleteState([]byte(user))
		} else {
			err = store.Delete(key)
		}
		delete(model[part], user)
	case op < 10 && part != "":
		err = store.Merge(key, value)
		model[part][user] += string(value)
	case op < 11 && part != "" && random.Intn(5) == 0:
		err = store.DeletePrefix(key)
		for other := range model[part] {
			if strings.HasPrefix(other, user) {
				delete(model[part], other)
			}
		}
	case op == 11:
		start, end := fmt.Sprint(random.Intn(40)), fmt.Sprint(random.Intn(40))
		var keys [][]byte
		if part == "" {
			keys, err = store.ListStates([]byte(start), []byte(end))
		} else if keys, err = store.ListComplex([]byte("g"), []byte(part), nil, []byte(start), []byte(end)); err == nil {
			scanned(t, store, part, model)
		}
		got := make([]string, len(keys))
		for i := range keys {
			got[i] = string(keys[i])
		}
		if want := model.keys(part, start, end); !slices.Equal(got, want) {
			t.Fatalf("keys are %q, not %q", got, want)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}

func scanned(t *testing.T, store fssdk.Store, part string, model model) {
	iterator, err := store.ScanComplex([]byte("g"), []byte(part), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer iterator.Close()
	for _, want := range model.keys(part, "", "\xff") {
		key, value, ok, err := iterator.Next()
		if !ok || err != nil || string(key) != want || string(value) != model[part][want] {
			t.Fatalf("the scan gives %q, %v, %v, not %q", key, ok, err, want)
		}
	}
	if more, err := iterator.HasNext(); more || err != nil {
		t.Fatal("the scan goes on: ", err)
	}
}
