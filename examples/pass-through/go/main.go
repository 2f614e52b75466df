// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

// A function that emits every record as it came: key, headers, time and value.
package main

import (
	"errors"

	fssdk "github.com/functionstream/function-stream/go-sdk"
)

func init() { fssdk.Run(&passThrough{}) }

func main() {}

type passThrough struct {
	fssdk.BaseDriver
	records fssdk.RecordContext
}

func (p *passThrough) Init(ctx fssdk.Context, _ map[string]string) error {
	records, ok := ctx.(fssdk.RecordContext)
	if !ok {
		return errors.New("this host passes values alone, without keys and headers")
	}
	p.records = records
	return nil
}

func (p *passThrough) Process(fssdk.Context, uint32, []byte) error {
	return p.records.EmitRecord(0, p.records.Record())
}
