// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

// A function that joins orders with their customers by the key of both. An order that comes before its customer waits in state.
package main

import (
	"encoding/json"
	"errors"

	fssdk "github.com/functionstream/function-stream/go-sdk"
	"github.com/functionstream/function-stream/go-sdk-advanced/keyed"
)

func init() { fssdk.Run(&join{}) }

func main() {}

// customers is the first input group; the second has the orders.
const customers = 0

type customer struct {
	Name string `json:"name"`
}

type order struct {
	Item  string `json:"item"`
	Price int64  `json:"price"`
}

// joined is what is emitted.
type joined struct {
	Customer string `json:"customer"`
	order
}

type join struct {
	fssdk.BaseDriver
	records fssdk.RecordContext
	names   *keyed.KeyedValueStateFactory[string]
	waiting *keyed.KeyedListStateFactory[order]
}

func (j *join) Init(ctx fssdk.Context, _ map[string]string) (err error) {
	records, ok := ctx.(fssdk.RecordContext)
	if !ok {
		return errors.New("this host takes values alone, without keys")
	}
	j.records = records
	if j.names, err = keyed.NewKeyedValueStateFactoryFromContextAutoCodec[string](ctx, "names", nil); err != nil {
		return err
	}
	j.waiting, err = keyed.NewKeyedListStateFactoryAutoCodecFromContext[order](ctx, "waiting", nil)
	return err
}

func (j *join) Process(_ fssdk.Context, source uint32, data []byte) error {
	key := j.records.Record().Key
	name, err := j.names.NewKeyedValue(key, nil)
	if err != nil {
		return err
	}
	waiting, err := j.waiting.NewKeyedList(key, nil)
	if err != nil {
		return err
	}
	orders := make([]order, 1)
	if source == customers {
		var known customer
		if err := json.Unmarshal(data, &known); err != nil {
			return err
		}
		if err := name.Update(known.Name); err != nil {
			return err
		}
		if orders, err = waiting.Get(); err != nil {
			return err
		}
		if err := waiting.Clear(); err != nil {
			return err
		}
	} else if err := json.Unmarshal(data, &orders[0]); err != nil {
		return err
	}
	known, found, err := name.Value()
	if err != nil {
		return err
	}
	if !found {
		return waiting.AddAll(orders)
	}
	for _, each := range orders {
		if err := j.emit(key, joined{known, each}); err != nil {
			return err
		}
	}
	return nil
}

func (j *join) emit(key []byte, joined joined) error {
	value, err := json.Marshal(joined)
	if err != nil {
		return err
	}
	return j.records.EmitRecord(0, fssdk.Record{Key: key, Timestamp: j.records.Record().Timestamp, Value: value})
}
