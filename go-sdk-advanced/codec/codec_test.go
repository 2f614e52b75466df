// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

package codec

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"math"
	"math/rand"
	"testing"
)

func golden[T any](t *testing.T, codec Codec[T], value T, want string) {
	t.Helper()
	data, err := codec.Encode(value)
	if err != nil || hex.EncodeToString(data) != want {
		t.Errorf("%T encodes %v as %x, not %s (%v)", codec, value, data, want, err)
	}
	back, err := codec.Decode(data)
	if again, _ := codec.Encode(back); err != nil || !bytes.Equal(again, data) {
		t.Errorf("%T decodes %x as %v (%v)", codec, data, back, err)
	}
	if size, fixed := FixedEncodedSize(codec); fixed && size != len(data) {
		t.Errorf("%T has the size %d, not %d", codec, len(data), size)
	}
}

func TestEncodingsAreTheseBytes(t *testing.T) {
	golden(t, BoolCodec{}, false, "00")
	golden(t, BoolCodec{}, true, "01")
	golden(t, Int8Codec{}, -1, "7f")
	golden(t, Int8Codec{}, 1, "81")
	golden(t, Int16Codec{}, -2, "7ffe")
	golden(t, Int32Codec{}, 1, "80000001")
	golden(t, Int64Codec{}, -1, "7fffffffffffffff")
	golden(t, IntCodec{}, 1, "8000000000000001")
	golden(t, IntCodec{}, math.MinInt64, "0000000000000000")
	golden(t, Uint8Codec{}, 255, "ff")
	golden(t, Uint16Codec{}, 1, "0001")
	golden(t, Uint32Codec{}, 1, "00000001")
	golden(t, Uint64Codec{}, math.MaxUint64, "ffffffffffffffff")
	golden(t, UintCodec{}, 258, "0000000000000102")
	golden(t, Float32Codec{}, 1, "bf800000")
	golden(t, Float32Codec{}, -1, "407fffff")
	golden(t, Float64Codec{}, 0, "8000000000000000")
	golden(t, Float64Codec{}, math.Copysign(0, -1), "7fffffffffffffff")
	golden(t, Float64Codec{}, math.Inf(-1), "000fffffffffffff")
	golden(t, Float64Codec{}, math.Float64frombits(0x7ff8000000000001), "fff8000000000001")
	golden(t, StringCodec{}, "", "")
	golden(t, StringCodec{}, "a\x00é", "6100c3a9")
	golden(t, JSONCodec[map[string]int]{}, map[string]int{"b": 1, "a": 2}, "7b2261223a322c2262223a317d")
}

// ordered checks that the bytes are ordered as the values are.
func ordered[T any](t *testing.T, codec Codec[T], compare func(a, b T) int, values []T) {
	t.Helper()
	if !codec.IsOrderedKeyCodec() {
		t.Errorf("%T has no order", codec)
	}
	for _, a := range values {
		for _, b := range values {
			x, _ := codec.Encode(a)
			y, _ := codec.Encode(b)
			if bytes.Compare(x, y) != compare(a, b) {
				t.Fatalf("%T: %v and %v compare as %d, their bytes as %d", codec, a, b, compare(a, b), bytes.Compare(x, y))
			}
		}
	}
}

func integers[T cmp.Ordered](t *testing.T, codec Codec[T], of func(uint64) T) {
	t.Helper()
	random := rand.New(rand.NewSource(1))
	values := []T{of(0), of(1), of(math.MaxUint64), of(1 << 63), of(1<<63 - 1), of(1 << 31), of(1<<31 - 1), of(1 << 15), of(1 << 7), of(127)}
	for range 100 {
		values = append(values, of(random.Uint64()), of(uint64(random.Intn(1000))))
	}
	ordered(t, codec, cmp.Compare[T], values)
}

func TestIntegersAreOrdered(t *testing.T) {
	integers(t, IntCodec{}, func(n uint64) int { return int(n) })
	integers(t, Int8Codec{}, func(n uint64) int8 { return int8(n) })
	integers(t, Int16Codec{}, func(n uint64) int16 { return int16(n) })
	integers(t, Int32Codec{}, func(n uint64) int32 { return int32(n) })
	integers(t, Int64Codec{}, func(n uint64) int64 { return int64(n) })
	integers(t, UintCodec{}, func(n uint64) uint { return uint(n) })
	integers(t, Uint8Codec{}, func(n uint64) uint8 { return uint8(n) })
	integers(t, Uint16Codec{}, func(n uint64) uint16 { return uint16(n) })
	integers(t, Uint32Codec{}, func(n uint64) uint32 { return uint32(n) })
	integers(t, Uint64Codec{}, func(n uint64) uint64 { return n })
}

// total is the order of floats that the package promises.
func total(a, b float64) int {
	rank := func(f float64) int {
		switch {
		case math.IsNaN(f) && math.Signbit(f):
			return -1
		case math.IsNaN(f):
			return 1
		}
		return 0
	}
	if c := cmp.Compare(rank(a), rank(b)); c != 0 || math.IsNaN(a) {
		return c
	}
	if a == 0 && b == 0 {
		return cmp.Compare(math.Copysign(1, a), math.Copysign(1, b))
	}
	return cmp.Compare(a, b)
}

func TestFloatsAreOrdered(t *testing.T) {
	random := rand.New(rand.NewSource(2))
	nan := math.NaN()
	values := []float64{0, math.Copysign(0, -1), 1, -1, math.Inf(1), math.Inf(-1), nan, math.Copysign(nan, -1), math.MaxFloat64, -math.MaxFloat64,
		math.SmallestNonzeroFloat64, -math.SmallestNonzeroFloat64}
	for range 150 {
		if value := math.Float64frombits(random.Uint64()); !math.IsNaN(value) {
			values = append(values, value)
		}
		values = append(values, random.NormFloat64())
	}
	ordered(t, Float64Codec{}, total, values)
	small := make([]float32, len(values))
	for i, value := range values {
		small[i] = float32(value)
	}
	ordered(t, Float32Codec{}, func(a, b float32) int { return total(float64(a), float64(b)) }, small)
}

func TestStringsAreOrdered(t *testing.T) {
	ordered(t, StringCodec{}, cmp.Compare[string], []string{"", "\x00", "a", "a\x00", "aa", "b", "é", "\xff", "\xff\xff"})
	ordered(t, BoolCodec{}, func(a, b bool) int {
		switch {
		case a == b:
			return 0
		case a:
			return 1
		}
		return -1
	}, []bool{false, true})
}

func TestBytesOfAnotherCodecAreRefused(t *testing.T) {
	if _, err := (Int32Codec{}).Decode([]byte{1, 2}); err == nil || err.Error() != "2 bytes are no encoded int32, which has 4" {
		t.Error(err)
	}
	for _, data := range [][]byte{nil, {2}, {0, 0}} {
		if _, err := (BoolCodec{}).Decode(data); err == nil {
			t.Error(data)
		}
	}
	if _, err := (Float64Codec{}).Decode(nil); err == nil {
		t.Error("nothing is a float64")
	}
	if _, err := (JSONCodec[int]{}).Decode([]byte("x")); err == nil {
		t.Error("x is JSON")
	}
}

type (
	id    int64
	name  string
	ratio float32
	flag  bool
)

func TestNamedTypesHaveTheCodecOfTheirKind(t *testing.T) {
	fixed(t, id(-1), "7fffffffffffffff")
	fixed(t, name("a"), "61")
	fixed(t, ratio(1), "bf800000")
	fixed(t, flag(true), "01")
	fixed(t, int16(1), "8001")
	fixed(t, []int{1}, "5b315d")
	fixed(t, struct{ A int }{2}, "7b2241223a327d")
}

func fixed[V any](t *testing.T, value V, want string) {
	t.Helper()
	codec, err := DefaultCodecFor[V]()
	if err != nil {
		t.Fatal(err)
	}
	golden(t, codec, value, want)
}

func TestSomeTypesHaveNoCodec(t *testing.T) {
	if _, err := DefaultCodecFor[func()](); err == nil || err.Error() != "there is no codec for func()" {
		t.Error(err)
	}
	if _, err := DefaultCodecFor[complex128](); err == nil {
		t.Error("JSON has complex numbers")
	}
}
