// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

// A function that splits each record in words, and emits each word as key with the number of times that it has come up.
package main

import (
	"bytes"
	"errors"
	"strconv"

	fssdk "github.com/functionstream/function-stream/go-sdk"
	"github.com/functionstream/function-stream/go-sdk-advanced/structures"
)

func init() { fssdk.Run(&wordCount{}) }

func main() {}

type wordCount struct {
	fssdk.BaseDriver
	records fssdk.RecordContext
	counts  *structures.MapState[string, uint64]
}

func (w *wordCount) Init(ctx fssdk.Context, _ map[string]string) (err error) {
	records, ok := ctx.(fssdk.RecordContext)
	if !ok {
		return errors.New("this host takes values alone, without keys")
	}
	w.records = records
	w.counts, err = structures.NewMapStateFromContextAutoCodec[string, uint64](ctx, "counts")
	return err
}

func (w *wordCount) Process(_ fssdk.Context, _ uint32, data []byte) error {
	timestamp := w.records.Record().Timestamp
	for _, word := range bytes.Fields(data) {
		count, _, err := w.counts.Get(string(word))
		if err != nil {
			return err
		}
		count++
		if err := w.counts.Put(string(word), count); err != nil {
			return err
		}
		counted := fssdk.Record{Key: word, Timestamp: timestamp, Value: strconv.AppendUint(nil, count, 10)}
		if err := w.records.EmitRecord(0, counted); err != nil {
			return err
		}
	}
	return nil
}
