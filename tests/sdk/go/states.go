// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strconv"
	"strings"

	fssdk "github.com/functionstream/function-stream/go-sdk"
	"github.com/functionstream/function-stream/go-sdk-advanced/codec"
	"github.com/functionstream/function-stream/go-sdk-advanced/keyed"
	"github.com/functionstream/function-stream/go-sdk-advanced/structures"
)

// This file has the command `state`: typed states, alone and by key.

type sum struct {
	Sum int64 `json:"sum"`
	N   int64 `json:"n"`
}

// mean is the sum of numbers, and how many they are.
type mean struct{}

func (mean) CreateAccumulator() sum       { return sum{} }
func (mean) Add(value int64, acc sum) sum { return sum{acc.Sum + value, acc.N + 1} }
func (mean) GetResult(acc sum) string     { return fmt.Sprint(acc.Sum, "/", acc.N) }
func (mean) Merge(a, b sum) sum           { return sum{a.Sum + b.Sum, a.N + b.N} }

func greater(reduced, next int64) (int64, error) {
	if next < 0 {
		return 0, fmt.Errorf("%d is refused", next)
	}
	return max(reduced, next), nil
}

var group, namespace = []byte("g"), []byte("n")

// states carries out a command of a kind of state, and answers what is to be emitted; nothing if it is empty.
type states map[string]func(key, operation, rest string) (string, error)

func optional[T any](kind string, value T, found bool, err error) (string, error) {
	if !found {
		return kind + " absent", err
	}
	return fmt.Sprint(kind, "=", value), err
}

func all[T any](kind string, values []T, err error) (string, error) {
	for _, value := range values {
		kind += fmt.Sprint(" ", value)
	}
	return kind, err
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func integer(text string) int64 { return must(strconv.ParseInt(text, 10, 64)) }

func text(text string) string { return text }

// list is a list state, keyed or not.
type list[T any] interface {
	Add(T) error
	AddAll([]T) error
	Get() ([]T, error)
	Update([]T) error
	Clear() error
}

func runList[T any](kind string, of list[T], parse func(string) T, operation, rest string) (string, error) {
	values := func() (values []T) {
		for _, word := range strings.Split(rest, " ") {
			values = append(values, parse(word))
		}
		return values
	}
	switch operation {
	case "add":
		return "", of.Add(parse(rest))
	case "add-all":
		return "", of.AddAll(values())
	case "set":
		return "", of.Update(values())
	case "clear":
		return "", of.Clear()
	}
	found, err := of.Get()
	return all(kind, found, err)
}

func openStates(ctx fssdk.Context) states {
	value := must(structures.NewValueStateFromContextAutoCodec[string](ctx, "states"))
	values := must(keyed.NewKeyedValueStateFactoryFromContextAutoCodec[string](ctx, "states", group))
	texts := must(structures.NewListStateFromContextAutoCodec[string](ctx, "states"))
	textLists := must(keyed.NewKeyedListStateFactoryAutoCodecFromContext[string](ctx, "states", group))
	numbers := must(structures.NewListStateFromContextAutoCodec[int64](ctx, "numbers"))
	numberLists := must(keyed.NewKeyedListStateFactoryFromContext(ctx, "numbers", group, codec.Int64Codec{}))
	entries := must(structures.NewMapStateFromContextAutoCodec[int64, string](ctx, "states"))
	maps := must(keyed.NewKeyedMapStateFactoryFromContextAutoCodec[int64, string](ctx, "states", group))
	queue := must(structures.NewPriorityQueueStateFromContextAutoCodec[int64](ctx, "states"))
	queues := must(keyed.NewKeyedPriorityQueueStateFactoryFromContextAutoCodec[int64](ctx, "states", group))
	aggregate := must(structures.NewAggregatingStateFromContextAutoCodec(ctx, "states", mean{}))
	aggregates := must(keyed.NewKeyedAggregatingStateFactoryFromContextAutoCodec(ctx, "states", group, mean{}))
	reduction := must(structures.NewReducingStateFromContextAutoCodec(ctx, "states", greater))
	reductions := must(keyed.NewKeyedReducingStateFactoryFromContextAutoCodec(ctx, "states", group, greater))
	return states{
		"value": func(key, operation, rest string) (string, error) {
			of := &value.Cell
			if key != "-" {
				of = &must(values.NewKeyedValue([]byte(key), namespace)).Cell
			}
			switch operation {
			case "set":
				return "", of.Update(rest)
			case "clear":
				return "", of.Clear()
			}
			got, found, err := of.Value()
			return optional("value", got, found, err)
		},
		"list": func(key, operation, rest string) (string, error) {
			of := list[string](texts)
			if key != "-" {
				of = must(textLists.NewKeyedList([]byte(key), namespace))
			}
			return runList("list", of, text, operation, rest)
		},
		"numbers": func(key, operation, rest string) (string, error) {
			of := list[int64](numbers)
			if key != "-" {
				of = must(numberLists.NewKeyedList([]byte(key), namespace))
			}
			return runList("numbers", of, integer, operation, rest)
		},
		"map": func(key, operation, rest string) (string, error) {
			of := &entries.Map
			if key != "-" {
				of = &must(maps.NewKeyedMap([]byte(key), string(namespace))).Map
			}
			number, text, _ := strings.Cut(rest, " ")
			switch operation {
			case "put":
				return "", of.Put(integer(number), text)
			case "fill":
				for key := range integer(number) {
					if err := of.Put(key, text); err != nil {
						return "", err
					}
				}
				return "", nil
			case "delete":
				return "", of.Delete(integer(number))
			case "clear":
				return "", of.Clear()
			case "get":
				got, found, err := of.Get(integer(number))
				return optional("map", got, found, err)
			case "thin":
				seen := 0
				for key := range of.All() {
					if err := of.Delete(key + 1); err != nil {
						return "", err
					}
					seen++
				}
				return fmt.Sprint("map thinned ", seen), nil
			}
			told := "map"
			for key, value := range of.All() {
				told += fmt.Sprint(" ", key, "=", value)
			}
			return told, nil
		},
		"queue": func(key, operation, rest string) (string, error) {
			of := &queue.PriorityQueue
			if key != "-" {
				of = &must(queues.NewKeyedPriorityQueue([]byte(key), namespace)).PriorityQueue
			}
			switch operation {
			case "add":
				return "", of.Add(integer(rest))
			case "clear":
				return "", of.Clear()
			case "peek":
				got, found, err := of.Peek()
				return optional("queue", got, found, err)
			case "poll":
				got, found, err := of.Poll()
				return optional("queue", got, found, err)
			}
			told := "queue"
			for value := range of.All() {
				told += fmt.Sprint(" ", value)
			}
			return told, nil
		},
		"mean": func(key, operation, rest string) (string, error) {
			at := func(key string) *structures.AggregatingState[int64, sum, string] {
				if key == "-" {
					return aggregate
				}
				return &structures.AggregatingState[int64, sum, string]{Aggregating: must(aggregates.NewAggregatingState([]byte(key), string(namespace))).Aggregating}
			}
			of := at(key)
			switch operation {
			case "add":
				return "", of.Add(integer(rest))
			case "merge":
				return "", of.Merge(at(rest))
			case "clear":
				return "", of.Clear()
			}
			got, found, err := of.Get()
			return optional("mean", got, found, err)
		},
		"greatest": func(key, operation, rest string) (string, error) {
			of := &reduction.Reducing
			if key != "-" {
				of = &must(reductions.NewReducingState([]byte(key), namespace)).Reducing
			}
			switch operation {
			case "add":
				return "", of.Add(integer(rest))
			case "clear":
				return "", of.Clear()
			}
			got, found, err := of.Get()
			return optional("greatest", got, found, err)
		},
	}
}

// run carries out `KIND KEY OPERATION ARGUMENT`.
func (s states) run(words []string) (string, error) {
	of, found := s[words[0]]
	if !found {
		return "", fmt.Errorf("there is no state '%s'", words[0])
	}
	return of(words[1], words[2], words[3])
}
