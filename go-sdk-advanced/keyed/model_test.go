// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

package keyed_test

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand"
	"slices"
	"testing"

	fssdk "github.com/functionstream/function-stream/go-sdk"
	"github.com/functionstream/function-stream/go-sdk-advanced/codec"
	"github.com/functionstream/function-stream/go-sdk-advanced/keyed"
	"github.com/functionstream/function-stream/go-sdk-advanced/structures"
	"github.com/functionstream/function-stream/go-sdk/fstest"
)

// average aggregates numbers into their mean.
type average struct{}

type sum struct{ Sum, N int64 }

func (average) CreateAccumulator() sum       { return sum{} }
func (average) Add(value int64, acc sum) sum { return sum{acc.Sum + value, acc.N + 1} }
func (average) GetResult(acc sum) float64    { return float64(acc.Sum) / float64(acc.N) }
func (average) Merge(a, b sum) sum           { return sum{a.Sum + b.Sum, a.N + b.N} }
func greater(a, b int64) (int64, error)      { return max(a, b), nil }

// states are all six states of one key, keyed or not.
type states struct {
	value interface {
		Update(string) error
		Value() (string, bool, error)
		Clear() error
	}
	list interface {
		Add(string) error
		AddAll([]string) error
		Get() ([]string, error)
		Update([]string) error
		Clear() error
	}
	mapped      *mapOf
	queue       *queueOf
	aggregating interface {
		Add(int64) error
		Get() (float64, bool, error)
		Clear() error
	}
	reducing interface {
		Add(int64) error
		Get() (int64, bool, error)
		Clear() error
	}
}

type mapOf struct {
	put    func(int32, string) error
	get    func(int32) (string, bool, error)
	delete func(int32) error
	clear  func() error
	all    func(func(int32, string) bool)
}

type queueOf struct {
	add   func(int64) error
	peek  func() (int64, bool, error)
	poll  func() (int64, bool, error)
	clear func() error
	all   func(func(int64) bool)
}

// function has all states of one store: those without a key, and those of three keys.
type function struct {
	fssdk.BaseDriver
	open map[string]states
	run  func(map[string]states)
}

func (f *function) Process(fssdk.Context, uint32, []byte) error {
	f.run(f.open)
	return nil
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func (f *function) Init(ctx fssdk.Context, _ map[string]string) error {
	m := must(structures.NewMapStateFromContextAutoCodec[int32, string](ctx, "s"))
	q := must(structures.NewPriorityQueueStateFromContext(ctx, "s", codec.Int64Codec{}))
	f.open = map[string]states{"": {
		value:       must(structures.NewValueStateFromContextAutoCodec[string](ctx, "s")),
		list:        must(structures.NewListStateFromContext(ctx, "s", codec.StringCodec{})),
		mapped:      &mapOf{m.Put, m.Get, m.Delete, m.Clear, m.All()},
		queue:       &queueOf{q.Add, q.Peek, q.Poll, q.Clear, q.All()},
		aggregating: must(structures.NewAggregatingStateFromContextAutoCodec(ctx, "s", average{})),
		reducing:    must(structures.NewReducingStateFromContext(ctx, "s", codec.Int64Codec{}, greater)),
	}}
	group := []byte("v")
	values := must(keyed.NewKeyedValueStateFactoryFromContext(ctx, "s", group, codec.StringCodec{}))
	lists := must(keyed.NewKeyedListStateFactoryAutoCodecFromContext[string](ctx, "s", group))
	mapFactory := must(keyed.NewKeyedMapStateFactoryFromContextAutoCodec[int32, string](ctx, "s", group))
	queues := must(keyed.NewKeyedPriorityQueueStateFactoryFromContextAutoCodec[int64](ctx, "s", group))
	aggregates := must(keyed.NewKeyedAggregatingStateFactoryFromContextAutoCodec(ctx, "s", group, average{}))
	reductions := must(keyed.NewKeyedReducingStateFactoryFromContext(ctx, "s", group, codec.Int64Codec{}, greater))
	for _, key := range []string{"a", "ab", "b"} {
		// "a" + "b" is not "ab" + "".
		primary, namespace := []byte(key), []byte{}
		if key == "b" {
			primary, namespace = []byte("a"), []byte("b")
		}
		m := must(mapFactory.NewKeyedMap(primary, string(namespace)))
		q := must(queues.NewKeyedPriorityQueue(primary, namespace))
		f.open[key] = states{
			value:       must(values.NewKeyedValue(primary, namespace)),
			list:        must(keyed.NewKeyedListFromFactory(lists, primary, namespace)),
			mapped:      &mapOf{m.Put, m.Get, m.Delete, m.Clear, m.All()},
			queue:       &queueOf{q.Add, q.Peek, q.Poll, q.Clear, q.All()},
			aggregating: must(aggregates.NewAggregatingState(primary, string(namespace))),
			reducing:    must(reductions.NewReducingState(primary, namespace)),
		}
	}
	return nil
}

// model is what the states of one key should hold.
type model struct {
	value    []string
	list     []string
	entries  map[int32]string
	queue    map[int64]bool
	sum      sum
	greatest []int64
}

func newModel() *model { return &model{entries: map[int32]string{}, queue: map[int64]bool{}} }

func (m *model) clone() *model {
	clone := *m
	clone.value, clone.list, clone.greatest = slices.Clone(m.value), slices.Clone(m.list), slices.Clone(m.greatest)
	clone.entries, clone.queue = maps.Clone(m.entries), maps.Clone(m.queue)
	return &clone
}

func TestAllStatesAgreeWithAModelOverRestarts(t *testing.T) {
	for seed := int64(0); seed < 3; seed++ {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { operate(t, rand.New(rand.NewSource(seed))) })
	}
}

func operate(t *testing.T, random *rand.Rand) {
	now := map[string]*model{"": newModel(), "a": newModel(), "ab": newModel(), "b": newModel()}
	committed := clone(now)
	var run func(map[string]states)
	host, err := fstest.New(func() fssdk.Driver {
		return &function{run: func(open map[string]states) { run(open) }}
	}, fstest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	keys := []string{"", "a", "ab", "b"}
	for range 350 {
		run = func(open map[string]states) {
			for range 100 {
				key := keys[random.Intn(len(keys))]
				if err := step(random, open[key], now[key]); err != nil {
					t.Fatalf("key %q: %v", key, err)
				}
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
			committed = clone(now)
		case 1:
			// The batches since the checkpoint come again, and do nothing this time.
			run = func(map[string]states) {}
			if err := host.Restart(); err != nil {
				t.Fatal(err)
			}
			now = clone(committed)
		}
	}
}

func clone(models map[string]*model) map[string]*model {
	cloned := map[string]*model{}
	for key, model := range models {
		cloned[key] = model.clone()
	}
	return cloned
}

func step(random *rand.Rand, s states, m *model) error {
	text := []string{"", "a", "long " + fmt.Sprint(random.Intn(1000))}[random.Intn(3)]
	number := int64(random.Intn(60) - 30)
	switch random.Intn(18) {
	case 0:
		m.value = []string{text}
		return s.value.Update(text)
	case 1:
		got, found, err := s.value.Value()
		return agree(err, "value", optional(got, found), m.value)
	case 2:
		m.list = append(m.list, text)
		return s.list.Add(text)
	case 3:
		m.list = append(m.list, text, "x")
		return s.list.AddAll([]string{text, "x"})
	case 4:
		got, err := s.list.Get()
		return agree(err, "list", got, m.list)
	case 5:
		m.entries[int32(number)] = text
		return s.mapped.put(int32(number), text)
	case 6:
		got, found, err := s.mapped.get(int32(number))
		want, has := m.entries[int32(number)]
		return agree(err, "entry", optional(got, found), optional(want, has))
	case 7:
		delete(m.entries, int32(number))
		return s.mapped.delete(int32(number))
	case 8:
		var keys []int32
		for key, value := range s.mapped.all {
			if m.entries[key] != value {
				return fmt.Errorf("entry %d is %q, not %q", key, value, m.entries[key])
			}
			keys = append(keys, key)
		}
		return agree(nil, "keys", keys, slices.Sorted(maps.Keys(m.entries)))
	case 9, 10:
		m.queue[number] = true
		return s.queue.add(number)
	case 11:
		got, found, err := s.queue.peek()
		return agree(err, "peek", optional(got, found), least(m.queue))
	case 12:
		want := least(m.queue)
		got, found, err := s.queue.poll()
		if len(want) > 0 {
			delete(m.queue, want[0])
		}
		return agree(err, "poll", optional(got, found), want)
	case 13:
		return agree(nil, "queue", slices.Collect(s.queue.all), slices.Sorted(maps.Keys(m.queue)))
	case 14:
		m.sum = average{}.Add(number, m.sum)
		return s.aggregating.Add(number)
	case 15:
		got, found, err := s.aggregating.Get()
		return agree(err, "aggregate", optional(got, found), optional(average{}.GetResult(m.sum), m.sum.N > 0))
	case 16:
		if len(m.greatest) == 0 || m.greatest[0] < number {
			m.greatest = []int64{number}
		}
		return s.reducing.Add(number)
	default:
		got, found, err := s.reducing.Get()
		if err := agree(err, "reduction", optional(got, found), m.greatest); err != nil {
			return err
		}
		if random.Intn(3) == 0 {
			return clearOne(random, s, m)
		}
		return nil
	}
}

func clearOne(random *rand.Rand, s states, m *model) error {
	switch random.Intn(7) {
	case 0:
		m.value = nil
		return s.value.Clear()
	case 1:
		m.list = nil
		return s.list.Clear()
	case 2:
		m.entries = map[int32]string{}
		return s.mapped.clear()
	case 3:
		m.queue = map[int64]bool{}
		return s.queue.clear()
	case 4:
		m.sum = sum{}
		return s.aggregating.Clear()
	case 5:
		m.greatest = nil
		return s.reducing.Clear()
	default:
		m.list = []string{"new"}
		return s.list.Update(m.list)
	}
}

func optional[T any](value T, found bool) []T {
	if found {
		return []T{value}
	}
	return nil
}

func least(queue map[int64]bool) []int64 {
	sorted := slices.Sorted(maps.Keys(queue))
	return sorted[:min(1, len(sorted))]
}

func agree[T cmp.Ordered](err error, what string, got, want []T) error {
	if err != nil {
		return err
	}
	if !slices.Equal(got, want) {
		return fmt.Errorf("%s is %v, not %v", what, got, want)
	}
	return nil
}
