// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

package impl

import (
	"bytes"
	"encoding/hex"
	"reflect"
	"testing"

	"github.com/functionstream/function-stream/go-sdk/api"
)

// The same bytes as in crates/frame: two records, of which the host's may have keys.
const golden = "46534601" + "02000000" + "00000000" + "04000000" + // magic, count, flags, payload
	"0100000000000000" + "feffffffffffffff" + // timestamps 1 and -2
	"00000000" + "07000000" + // channels
	"00000000" + "00000000" + // attributes
	"00000000" + "03000000" + // ends of keys
	"00000000" + "03000000" + // ends of headers
	"03000000" + "04000000" + // ends of values
	"61626364"

func TestFrameIsWrittenByteByByte(t *testing.T) {
	frame := EncodeFrame([]FrameRecord{{0, api.Record{Timestamp: 1, Value: []byte("abc")}}, {7, api.Record{Timestamp: -2, Value: []byte("d")}}})
	if got := hex.EncodeToString(frame); got != golden {
		t.Fatalf("got\n%s\nnot\n%s", got, golden)
	}
}

func TestFrameIsReadBack(t *testing.T) {
	written := []FrameRecord{{0, api.Record{Timestamp: 1, Value: []byte("abc")}}, {7, api.Record{Timestamp: -2, Value: []byte{}}}, {1, api.Record{Timestamp: 5, Value: bytes.Repeat([]byte("x"), 70_000)}}}
	read, err := DecodeFrame(EncodeFrame(written))
	if err != nil || len(read) != 3 {
		t.Fatal(read, err)
	}
	for i := range read {
		if read[i].Channel != written[i].Channel || read[i].Timestamp != written[i].Timestamp || !bytes.Equal(read[i].Value, written[i].Value) {
			t.Fatalf("record %d is %v", i, read[i])
		}
	}
}

func TestKeysAndHeadersAreNoPartOfTheValue(t *testing.T) {
	frame, _ := hex.DecodeString("46534601" + "01000000" + "00000000" + "0b000000" + "0000000000000000" + "00000000" + "01000000" +
		"01000000" + "08000000" + "0b000000" + "6b" + "0000" + "01000000" + "68" + "766176")
	records, err := DecodeFrame(frame)
	if err != nil || string(records[0].Value) != "vav" || string(records[0].Key) != "k" {
		t.Fatal(records, err)
	}
}

func TestKeysAndHeadersAreReadBack(t *testing.T) {
	headers := []api.Header{{Name: "n", Value: []byte("1")}, {Name: "é", Value: []byte{}}, {Name: "", Value: []byte("3")}}
	written := []FrameRecord{{1, api.Record{Key: []byte{}, Headers: headers, Timestamp: 9, Value: []byte("v")}}, {0, api.Record{Value: []byte("w")}}}
	read, err := DecodeFrame(EncodeFrame(written))
	if err != nil || !reflect.DeepEqual(read, written) {
		t.Fatalf("%v is not %v, %v", read, written, err)
	}
}

// The record of a null value in the golden bytes of crates/frame.
func TestANullValueIsWrittenAndReadByteByByte(t *testing.T) {
	const wanted = "46534601" + "01000000" + "00000000" + "01000000" + "0500000000000000" + "02000000" + "03000000" +
		"01000000" + "01000000" + "01000000" + "64"
	written := []FrameRecord{{2, api.Record{Key: []byte("d"), Timestamp: 5, Value: []byte{}, Null: true}}}
	frame := EncodeFrame(written)
	if got := hex.EncodeToString(frame); got != wanted {
		t.Fatalf("got\n%s\nnot\n%s", got, wanted)
	}
	if read, err := DecodeFrame(frame); err != nil || !reflect.DeepEqual(read, written) {
		t.Fatalf("%v is not %v, %v", read, written, err)
	}
}

func TestAppendingToAValueLeavesTheNextRecordAlone(t *testing.T) {
	records, _ := DecodeFrame(EncodeFrame([]FrameRecord{{0, api.Record{Timestamp: 0, Value: []byte("a")}}, {0, api.Record{Timestamp: 0, Value: []byte("b")}}}))
	_ = append(records[0].Value, 'x')
	if string(records[1].Value) != "b" {
		t.Fatal("the next record was changed")
	}
}

func TestMalformedFramesAreRefused(t *testing.T) {
	good, _ := hex.DecodeString(golden)
	for name, frame := range map[string][]byte{
		"empty":     nil,
		"truncated": good[:len(good)-1],
		"longer":    append(bytes.Clone(good), 0),
		"magic":     append([]byte("FSF\x02"), good[4:]...),
	} {
		if _, err := DecodeFrame(frame); err == nil {
			t.Errorf("the %s frame was taken", name)
		}
	}
}
