// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

package model

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"testing"

	fssdk "github.com/functionstream/function-stream/go-sdk"
	"github.com/functionstream/function-stream/go-sdk-advanced/codec"
	"github.com/functionstream/function-stream/go-sdk-advanced/keyed"
	"github.com/functionstream/function-stream/go-sdk-advanced/structures"
	"github.com/functionstream/function-stream/go-sdk/fstest"
)

// What all SDKs write; tests/sdk/README.md describes it. With UPDATE_GOLDEN=1 the stored pairs are written anew.
const goldenFile = "../../../tests/sdk/golden/states.json"

type goldenStates struct {
	About  string        `json:"about"`
	Codecs []goldenCodec `json:"codecs"`
	States []goldenState `json:"states"`
}

type goldenCodec struct {
	Codec string          `json:"codec"`
	Value json.RawMessage `json:"value"`
	Bytes string          `json:"bytes"`
	// ReadOnly is true for bytes that must be understood, and need not be written.
	ReadOnly bool `json:"read-only,omitempty"`
}

type goldenState struct {
	State string       `json:"state"`
	Keyed bool         `json:"keyed"`
	Pairs []goldenPair `json:"pairs"`
}

// goldenPair is a complex key in hexadecimal digits, and its value.
type goldenPair struct {
	KeyGroup  string `json:"key-group"`
	Key       string `json:"key"`
	Namespace string `json:"namespace"`
	UserKey   string `json:"user-key"`
	Value     string `json:"value"`
}

func readGolden(t *testing.T) (golden goldenStates) {
	t.Helper()
	data, err := os.ReadFile(goldenFile)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &golden); err != nil {
		t.Fatal(err)
	}
	return golden
}

// Purchase is a value that is stored as JSON.
type Purchase struct {
	Item  string `json:"item"`
	Count int64  `json:"count"`
}

func encodes[T any](codec codec.Codec[T], value T) ([]byte, func([]byte) (any, error), any, error) {
	data, err := codec.Encode(value)
	return data, func(data []byte) (any, error) { return codec.Decode(data) }, value, err
}

// encode reads a value's text, and encodes it.
func (g goldenCodec) encode() (data []byte, decode func([]byte) (any, error), value any, err error) {
	var text string
	if g.Codec != "json" {
		if err := json.Unmarshal(g.Value, &text); err != nil {
			return nil, nil, nil, err
		}
	}
	signed := func(bits int) int64 { n, e := strconv.ParseInt(text, 10, bits); err = e; return n }
	unsigned := func(bits int) uint64 { n, e := strconv.ParseUint(text, 10, bits); err = e; return n }
	float := func(bits int) float64 { n, e := strconv.ParseFloat(text, bits); err = e; return n }
	switch g.Codec {
	case "bool":
		return encodes(codec.BoolCodec{}, text == "true")
	case "int8":
		return encodes(codec.Int8Codec{}, int8(signed(8)))
	case "int16":
		return encodes(codec.Int16Codec{}, int16(signed(16)))
	case "int32":
		return encodes(codec.Int32Codec{}, int32(signed(32)))
	case "int64":
		return encodes(codec.Int64Codec{}, signed(64))
	case "int":
		return encodes(codec.IntCodec{}, int(signed(64)))
	case "uint8":
		return encodes(codec.Uint8Codec{}, uint8(unsigned(8)))
	case "uint16":
		return encodes(codec.Uint16Codec{}, uint16(unsigned(16)))
	case "uint32":
		return encodes(codec.Uint32Codec{}, uint32(unsigned(32)))
	case "uint64":
		return encodes(codec.Uint64Codec{}, unsigned(64))
	case "uint":
		return encodes(codec.UintCodec{}, uint(unsigned(64)))
	case "float32":
		return encodes(codec.Float32Codec{}, float32(float(32)))
	case "float64":
		return encodes(codec.Float64Codec{}, float(64))
	case "string":
		return encodes(codec.StringCodec{}, text)
	case "bytes":
		raw, err := hex.DecodeString(text)
		data, decode, _, _ := encodes(codec.BytesCodec{}, raw)
		return data, func(data []byte) (any, error) {
			value, err := decode(data)
			return string(value.([]byte)), err
		}, string(raw), err
	case "json":
		var purchase Purchase
		if err := json.Unmarshal(g.Value, &purchase); err != nil {
			return nil, nil, nil, err
		}
		return encodes(codec.JSONCodec[Purchase]{}, purchase)
	}
	return nil, nil, nil, fmt.Errorf("the codec %s is not known", g.Codec)
}

func TestEncodingsAreTheGoldenBytes(t *testing.T) {
	golden := readGolden(t)
	if len(golden.Codecs) < 40 {
		t.Fatalf("only %d golden encodings", len(golden.Codecs))
	}
	for _, of := range golden.Codecs {
		data, decode, value, err := of.encode()
		if err != nil {
			t.Errorf("%s %s: %v", of.Codec, of.Value, err)
			continue
		}
		if !of.ReadOnly && hex.EncodeToString(data) != of.Bytes {
			t.Errorf("%s %s is %x, not %s", of.Codec, of.Value, data, of.Bytes)
		}
		stored, err := hex.DecodeString(of.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := decode(stored); err != nil || back != value {
			t.Errorf("%s is decoded as %v, not %v (%v)", of.Bytes, back, value, err)
		}
	}
}

// The key group, primary key and namespace of the keyed states.
var goldenGroup, goldenKey, goldenNamespace = []byte("group"), []byte("k\x00\xff"), []byte("n")

// goldenOf opens a state, and gives what writes it and what reads it as text.
func goldenOf(ctx fssdk.Context, name string, byKey bool) (write func() error, read func() (string, error)) {
	text := func(value any, err error) (string, error) { return fmt.Sprint(value), err }
	switch name {
	case "value of string":
		state := must(structures.NewValueStateFromContext(ctx, "s", codec.StringCodec{}))
		cell := &state.Cell
		if byKey {
			cell = &must(must(keyed.NewKeyedValueStateFactoryFromContext(ctx, "s", goldenGroup, codec.StringCodec{})).
				NewKeyedValue(goldenKey, goldenNamespace)).Cell
		}
		return func() error { return cell.Update("hello") }, func() (string, error) {
			value, _, err := cell.Value()
			return text(value, err)
		}
	case "list of int16":
		state := must(structures.NewListStateFromContext(ctx, "s", codec.Int16Codec{}))
		list := &state.List
		if byKey {
			list = &must(must(keyed.NewKeyedListStateFactoryFromContext(ctx, "s", goldenGroup, codec.Int16Codec{})).
				NewKeyedList(goldenKey, goldenNamespace)).List
		}
		return func() error { return list.AddAll([]int16{1, -1, 300}) }, func() (string, error) {
			values, err := list.Get()
			return text(values, err)
		}
	case "list of string":
		state := must(structures.NewListStateFromContext(ctx, "s", codec.StringCodec{}))
		list := &state.List
		if byKey {
			list = &must(must(keyed.NewKeyedListStateFactoryFromContext(ctx, "s", goldenGroup, codec.StringCodec{})).
				NewKeyedList(goldenKey, goldenNamespace)).List
		}
		return func() error { return list.AddAll([]string{"ab", "", "c"}) }, func() (string, error) {
			values, err := list.Get()
			return text(values, err)
		}
	case "map of int32 to string":
		state := must(structures.NewMapStateFromContext(ctx, "s", codec.Int32Codec{}, codec.StringCodec{}))
		entries := &state.Map
		if byKey {
			entries = &must(must(keyed.NewKeyedMapStateFactoryFromContext(ctx, "s", goldenGroup, codec.Int32Codec{}, codec.StringCodec{})).
				NewKeyedMap(goldenKey, string(goldenNamespace))).Map
		}
		return func() error {
				return firstError(entries.Put(7, "seven"), entries.Put(-1, "minus"), entries.Put(0, ""))
			}, func() (string, error) {
				found := ""
				for key, value := range entries.All() {
					found += fmt.Sprint(key, "=", value, " ")
				}
				return found, nil
			}
	case "priority queue of int64":
		state := must(structures.NewPriorityQueueStateFromContext(ctx, "s", codec.Int64Codec{}))
		queue := &state.PriorityQueue
		if byKey {
			queue = &must(must(keyed.NewKeyedPriorityQueueStateFactoryFromContext(ctx, "s", goldenGroup, codec.Int64Codec{})).
				NewKeyedPriorityQueue(goldenKey, goldenNamespace)).PriorityQueue
		}
		return func() error { return firstError(queue.Add(5), queue.Add(-3), queue.Add(5)) }, func() (string, error) {
			return text(slices.Collect(queue.All()), nil)
		}
	case "aggregating mean of int64":
		state := must(structures.NewAggregatingStateFromContextAutoCodec(ctx, "s", average{}))
		mean := &state.Aggregating
		if byKey {
			mean = &must(must(keyed.NewKeyedAggregatingStateFactoryFromContextAutoCodec(ctx, "s", goldenGroup, average{})).
				NewAggregatingState(goldenKey, string(goldenNamespace))).Aggregating
		}
		return func() error { return firstError(mean.Add(1), mean.Add(2), mean.Add(6)) }, func() (string, error) {
			value, _, err := mean.Get()
			return text(value, err)
		}
	case "reducing maximum of int64":
		state := must(structures.NewReducingStateFromContext(ctx, "s", codec.Int64Codec{}, greater))
		reduced := &state.Reducing
		if byKey {
			reduced = &must(must(keyed.NewKeyedReducingStateFactoryFromContext(ctx, "s", goldenGroup, codec.Int64Codec{}, greater)).
				NewReducingState(goldenKey, goldenNamespace)).Reducing
		}
		return func() error { return firstError(reduced.Add(3), reduced.Add(9), reduced.Add(4)) }, func() (string, error) {
			value, _, err := reduced.Get()
			return text(value, err)
		}
	}
	panic("the state " + name + " is not known")
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

type holder struct {
	fssdk.BaseDriver
	ctx *fssdk.Context
}

func (h holder) Init(ctx fssdk.Context, _ map[string]string) error {
	*h.ctx = ctx
	return nil
}

func contextOf(t *testing.T) (ctx fssdk.Context) {
	t.Helper()
	if _, err := fstest.New(func() fssdk.Driver { return holder{ctx: &ctx} }, fstest.Options{}); err != nil {
		t.Fatal(err)
	}
	return ctx
}

func TestStatesAreStoredAsTheGoldenPairs(t *testing.T) {
	golden := readGolden(t)
	for i, of := range golden.States {
		ctx := contextOf(t)
		write, read := goldenOf(ctx, of.State, of.Keyed)
		if err := write(); err != nil {
			t.Fatal(of.State, err)
		}
		want, err := read()
		if err != nil {
			t.Fatal(of.State, err)
		}
		pairs := storedPairs(t, ctx, of)
		if os.Getenv("UPDATE_GOLDEN") != "" {
			golden.States[i].Pairs = pairs
		} else if !slices.Equal(pairs, of.Pairs) {
			t.Errorf("%s (keyed: %v) is stored as %v, not %v", of.State, of.Keyed, pairs, of.Pairs)
		}
		// The pairs alone, as if another SDK had written them.
		ctx = contextOf(t)
		putPairs(t, ctx, golden.States[i].Pairs)
		_, read = goldenOf(ctx, of.State, of.Keyed)
		if got, err := read(); err != nil || got != want {
			t.Errorf("the pairs of %s are read as %s, not %s (%v)", of.State, got, want, err)
		}
	}
	if os.Getenv("UPDATE_GOLDEN") != "" {
		var out bytes.Buffer
		encoder := json.NewEncoder(&out)
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", "  ")
		if err := firstError(encoder.Encode(golden), os.WriteFile(goldenFile, out.Bytes(), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
}

// storedPairs scans all places at which the states may store something.
func storedPairs(t *testing.T, ctx fssdk.Context, of goldenState) (pairs []goldenPair) {
	t.Helper()
	store := must(ctx.GetOrCreateStore("s"))
	for _, kind := range []byte("vlmqar") {
		group, key, namespace := []byte{}, []byte{kind}, []byte{}
		if of.Keyed {
			group, key, namespace = goldenGroup, goldenKey, append([]byte{kind}, goldenNamespace...)
		}
		found := must(store.ScanComplex(group, key, namespace))
		for {
			userKey, value, ok, err := found.Next()
			if err != nil {
				t.Fatal(err)
			}
			if !ok {
				break
			}
			pairs = append(pairs, goldenPair{hex.EncodeToString(group), hex.EncodeToString(key), hex.EncodeToString(namespace),
				hex.EncodeToString(userKey), hex.EncodeToString(value)})
		}
	}
	return pairs
}

func putPairs(t *testing.T, ctx fssdk.Context, pairs []goldenPair) {
	t.Helper()
	store := must(ctx.GetOrCreateStore("s"))
	for _, pair := range pairs {
		part := func(digits string) []byte { return must(hex.DecodeString(digits)) }
		key := fssdk.ComplexKey{KeyGroup: part(pair.KeyGroup), Key: part(pair.Key), Namespace: part(pair.Namespace), UserKey: part(pair.UserKey)}
		if err := store.Put(key, part(pair.Value)); err != nil {
			t.Fatal(err)
		}
	}
}
