// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

package fstest

import (
	"slices"
	"sort"

	"github.com/functionstream/function-stream/go-sdk/api"
	"github.com/functionstream/function-stream/go-sdk/impl"
)

// Emitted is a record that the function emitted.
type Emitted struct {
	// Target is the index of the output.
	Target uint32
	// Record is the record. Context.Emit gives it the time of the record that was in process, and neither key nor headers.
	api.Record
}

// Watermark is a watermark that was emitted.
type Watermark struct {
	// Target is the index of the output.
	Target uint32
	// Watermark is the time in milliseconds since the Unix epoch.
	Watermark uint64
}

// memory is the outside of the function: outputs, state and timers, with what undoes the open epoch.
type memory struct {
	emitted    []Emitted
	watermarks []Watermark
	stores     map[string]*kv
	timers     map[timerKey]setTimer
	// The times that have come: a timer that is set for such a time waits in the queue, with the turn that is being filled.
	reached map[api.TimeDomain]int64
	turn    uint64
	// How much of the outputs was there at the last checkpoint.
	keptEmitted, keptWatermarks int
	undo                        []func()
}

func newMemory() *memory { return &memory{stores: map[string]*kv{}, timers: map[timerKey]setTimer{}} }

func (m *memory) commit() {
	m.keptEmitted, m.keptWatermarks = len(m.emitted), len(m.watermarks)
	m.undo = nil
}

func (m *memory) rollback() {
	m.emitted, m.watermarks = m.emitted[:m.keptEmitted], m.watermarks[:m.keptWatermarks]
	for i := len(m.undo) - 1; i >= 0; i-- {
		m.undo[i]()
	}
	m.undo = nil
}

func (m *memory) EmitFrame(frame []byte) error {
	records, err := impl.DecodeFrame(frame)
	for _, record := range records {
		// The frame's memory is used again.
		copied := record.Record
		copied.Key, copied.Value = slices.Clone(record.Key), slices.Clone(record.Value)
		for i := range copied.Headers {
			copied.Headers[i].Value = slices.Clone(copied.Headers[i].Value)
		}
		m.emitted = append(m.emitted, Emitted{record.Channel, copied})
	}
	return err
}

func (m *memory) EmitWatermark(target uint32, watermark uint64) error {
	m.watermarks = append(m.watermarks, Watermark{target, watermark})
	return nil
}

func (m *memory) OpenStore(name string) (impl.StoreHost, error) {
	if m.stores[name] == nil {
		m.stores[name] = &kv{memory: m, values: map[string][]byte{}}
	}
	return m.stores[name], nil
}

// kv is one store. Its keys are sorted when they must be.
type kv struct {
	memory *memory
	values map[string][]byte
	keys   []string
	sorted bool
}

func (s *kv) Get(key []byte) ([]byte, bool, error) {
	value, found := s.values[string(key)]
	return slices.Clone(value), found, nil
}

func (s *kv) Write(ops []byte) error {
	return impl.ReadOps(ops, func(kind byte, key, value []byte) error {
		switch kind {
		case impl.OpPut:
			s.set(string(key), append([]byte{}, value...))
		case impl.OpDelete:
			s.remove(string(key))
		case impl.OpMerge:
			s.set(string(key), append(slices.Clone(s.values[string(key)]), value...))
		case impl.OpDeleteRange:
			for _, key := range slices.Clone(s.between(string(key), string(value))) {
				s.remove(key)
			}
		}
		return nil
	})
}

func (s *kv) Scan(start, end []byte, maxBytes uint32) (pairs, next []byte, err error) {
	for _, key := range s.between(string(start), string(end)) {
		value := s.values[key]
		if pairs != nil && len(pairs)+len(key)+len(value)+8 > int(maxBytes) {
			return pairs, []byte(key), nil
		}
		pairs = impl.AppendPair(pairs, []byte(key), value)
	}
	return pairs, nil, nil
}

// between gives the keys from start to end, exclusive; an empty end is none.
func (s *kv) between(start, end string) []string {
	if !s.sorted {
		s.keys = s.keys[:0]
		for key := range s.values {
			s.keys = append(s.keys, key)
		}
		sort.Strings(s.keys)
		s.sorted = true
	}
	from, to := sort.SearchStrings(s.keys, start), len(s.keys)
	if end != "" {
		to = sort.SearchStrings(s.keys, end)
	}
	return s.keys[from:max(from, to)]
}

func (s *kv) set(key string, value []byte) {
	before, found := s.values[key]
	s.values[key] = value
	s.sorted = s.sorted && found
	s.memory.undo = append(s.memory.undo, func() { s.put(key, before, found) })
}

func (s *kv) remove(key string) {
	before, found := s.values[key]
	if !found {
		return
	}
	delete(s.values, key)
	s.sorted = false
	s.memory.undo = append(s.memory.undo, func() { s.put(key, before, found) })
}

func (s *kv) put(key string, value []byte, found bool) {
	if found {
		s.values[key] = value
	} else {
		delete(s.values, key)
	}
	s.sorted = false
}
