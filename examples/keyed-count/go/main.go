// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

// A function that counts the records of each key, in state, and emits the count, 8 bytes little-endian, with the key.
package main

import (
	"encoding/binary"
	"errors"
	"fmt"

	fssdk "github.com/functionstream/function-stream/go-sdk"
)

func init() { fssdk.Run(&keyedCount{}) }

func main() {}

type keyedCount struct {
	fssdk.BaseDriver
	records fssdk.RecordContext
	counts  fssdk.Store
}

func (k *keyedCount) Init(ctx fssdk.Context, _ map[string]string) (err error) {
	records, ok := ctx.(fssdk.RecordContext)
	if !ok {
		return errors.New("this host passes values alone, without keys")
	}
	k.records = records
	k.counts, err = ctx.GetOrCreateStore("counts")
	return err
}

func (k *keyedCount) Process(fssdk.Context, uint32, []byte) error {
	record := k.records.Record()
	before, found, err := k.counts.GetState(record.Key)
	if err != nil {
		return err
	}
	var count uint64
	if found {
		if len(before) != 8 {
			return fmt.Errorf("a count of %d bytes", len(before))
		}
		count = binary.LittleEndian.Uint64(before)
	}
	var after [8]byte
	binary.LittleEndian.PutUint64(after[:], count+1)
	if err := k.counts.PutState(record.Key, after[:]); err != nil {
		return err
	}
	return k.records.EmitRecord(0, fssdk.Record{Key: record.Key, Timestamp: record.Timestamp, Value: after[:]})
}
