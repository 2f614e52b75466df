// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

// Package model is a function that carries out random operations on all states of this library, beside a model of them, and
// fails where the two differ. The model is kept in a store of its own when the epoch ends, so it is always as old as the
// states are, whatever dies in between. It is run by a test of this package, and on the real host.
package model

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand"
	"runtime/debug"
	"slices"
	"strconv"

	fssdk "github.com/functionstream/function-stream/go-sdk"
	"github.com/functionstream/function-stream/go-sdk-advanced/codec"
	"github.com/functionstream/function-stream/go-sdk-advanced/keyed"
	"github.com/functionstream/function-stream/go-sdk-advanced/structures"
)

// average aggregates numbers into their mean.
type average struct{}

type sum struct {
	Sum int64 `json:"sum"`
	N   int64 `json:"n"`
}

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

// Driver has all states of one store: those without a key, and those of three keys. A record is a seed and a number of
// operations, and is answered with how many there were in all.
type Driver struct {
	fssdk.BaseDriver
	states map[string]states
	models fssdk.Store
	now    map[string]*model
	done   int
}

// kept is what the driver knows at the end of an epoch.
type kept struct {
	Models map[string]*model
	Done   int
}

var keys = []string{"", "a", "ab", "b"}

// Process carries out operations.
func (d *Driver) Process(ctx fssdk.Context, _ uint32, data []byte) error {
	var seed int64
	var count int
	if _, err := fmt.Sscan(string(data), &seed, &count); err != nil {
		return err
	}
	random := rand.New(rand.NewSource(seed))
	for range count {
		key := keys[random.Intn(len(keys))]
		if err := step(random, d.states[key], d.now[key]); err != nil {
			return fmt.Errorf("key %q: %w", key, err)
		}
		d.done++
	}
	return ctx.Emit(0, []byte(fmt.Sprint(d.done, " operations")))
}

// TakeCheckpoint keeps the model.
func (d *Driver) TakeCheckpoint(fssdk.Context, uint64) error {
	data, err := json.Marshal(kept{d.now, d.done})
	return errors.Join(err, d.models.PutState([]byte("model"), data))
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// Init opens the states, and finds the model as old as they are. The configuration's gogc is how often garbage is collected.
func (d *Driver) Init(ctx fssdk.Context, config map[string]string) (err error) {
	if percent, err := strconv.Atoi(config["gogc"]); err == nil {
		debug.SetGCPercent(percent)
	}
	if d.models, err = ctx.GetOrCreateStore("model"); err != nil {
		return err
	}
	data, found, err := d.models.GetState([]byte("model"))
	known := kept{Models: map[string]*model{"": newModel(), "a": newModel(), "ab": newModel(), "b": newModel()}}
	if err == nil && found {
		err = json.Unmarshal(data, &known)
	}
	d.now, d.done = known.Models, known.Done
	d.open(ctx)
	return err
}

func (d *Driver) open(ctx fssdk.Context) {
	m := must(structures.NewMapStateFromContextAutoCodec[int32, string](ctx, "s"))
	q := must(structures.NewPriorityQueueStateFromContext(ctx, "s", codec.Int64Codec{}))
	d.states = map[string]states{"": {
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
		d.states[key] = states{
			value:       must(values.NewKeyedValue(primary, namespace)),
			list:        must(keyed.NewKeyedListFromFactory(lists, primary, namespace)),
			mapped:      &mapOf{m.Put, m.Get, m.Delete, m.Clear, m.All()},
			queue:       &queueOf{q.Add, q.Peek, q.Poll, q.Clear, q.All()},
			aggregating: must(aggregates.NewAggregatingState(primary, string(namespace))),
			reducing:    must(reductions.NewReducingState(primary, namespace)),
		}
	}
}

// model is what the states of one key should hold.
type model struct {
	Value    []string
	List     []string
	Entries  map[int32]string
	Queue    map[int64]bool
	Sum      sum
	Greatest []int64
}

func newModel() *model { return &model{Entries: map[int32]string{}, Queue: map[int64]bool{}} }

func step(random *rand.Rand, s states, m *model) error {
	text := []string{"", "a", "long " + fmt.Sprint(random.Intn(1000))}[random.Intn(3)]
	number := int64(random.Intn(60) - 30)
	switch random.Intn(18) {
	case 0:
		m.Value = []string{text}
		return s.value.Update(text)
	case 1:
		got, found, err := s.value.Value()
		return agree(err, "value", optional(got, found), m.Value)
	case 2:
		m.List = append(m.List, text)
		return s.list.Add(text)
	case 3:
		m.List = append(m.List, text, "x")
		return s.list.AddAll([]string{text, "x"})
	case 4:
		got, err := s.list.Get()
		return agree(err, "list", got, m.List)
	case 5:
		m.Entries[int32(number)] = text
		return s.mapped.put(int32(number), text)
	case 6:
		got, found, err := s.mapped.get(int32(number))
		want, has := m.Entries[int32(number)]
		return agree(err, "entry", optional(got, found), optional(want, has))
	case 7:
		delete(m.Entries, int32(number))
		return s.mapped.delete(int32(number))
	case 8:
		var keys []int32
		for key, value := range s.mapped.all {
			if m.Entries[key] != value {
				return fmt.Errorf("entry %d is %q, not %q", key, value, m.Entries[key])
			}
			keys = append(keys, key)
		}
		return agree(nil, "keys", keys, slices.Sorted(maps.Keys(m.Entries)))
	case 9, 10:
		m.Queue[number] = true
		return s.queue.add(number)
	case 11:
		got, found, err := s.queue.peek()
		return agree(err, "peek", optional(got, found), least(m.Queue))
	case 12:
		want := least(m.Queue)
		got, found, err := s.queue.poll()
		if len(want) > 0 {
			delete(m.Queue, want[0])
		}
		return agree(err, "poll", optional(got, found), want)
	case 13:
		return agree(nil, "queue", slices.Collect(s.queue.all), slices.Sorted(maps.Keys(m.Queue)))
	case 14:
		m.Sum = average{}.Add(number, m.Sum)
		return s.aggregating.Add(number)
	case 15:
		got, found, err := s.aggregating.Get()
		return agree(err, "aggregate", optional(got, found), optional(average{}.GetResult(m.Sum), m.Sum.N > 0))
	case 16:
		if len(m.Greatest) == 0 || m.Greatest[0] < number {
			m.Greatest = []int64{number}
		}
		return s.reducing.Add(number)
	default:
		got, found, err := s.reducing.Get()
		if err := agree(err, "reduction", optional(got, found), m.Greatest); err != nil {
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
		m.Value = nil
		return s.value.Clear()
	case 1:
		m.List = nil
		return s.list.Clear()
	case 2:
		m.Entries = map[int32]string{}
		return s.mapped.clear()
	case 3:
		m.Queue = map[int64]bool{}
		return s.queue.clear()
	case 4:
		m.Sum = sum{}
		return s.aggregating.Clear()
	case 5:
		m.Greatest = nil
		return s.reducing.Clear()
	default:
		m.List = []string{"new"}
		return s.list.Update(m.List)
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
