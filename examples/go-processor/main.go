// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

// A function that counts how often each line came, and emits all that this instance counted with the totals from state.
package main

import (
	"encoding/json"
	"strings"

	fssdk "github.com/functionstream/function-stream/go-sdk"
	"github.com/functionstream/function-stream/go-sdk-advanced/codec"
	"github.com/functionstream/function-stream/go-sdk-advanced/structures"
)

func init() { fssdk.Run(&processor{}) }

func main() {}

// result is what is emitted for each line.
type result struct {
	Line  string `json:"line"`
	Count int64  `json:"count"`
	Total int64  `json:"total"`
}

type processor struct {
	fssdk.BaseDriver
	prefix string
	counts *structures.MapState[string, int64]
	total  *structures.ReducingState[int64]
}

// Init opens the states. The configuration's key_prefix is put before each line.
func (p *processor) Init(ctx fssdk.Context, config map[string]string) (err error) {
	p.prefix = strings.TrimSpace(config["key_prefix"])
	if p.counts, err = structures.NewMapStateFromContextAutoCodec[string, int64](ctx, "counts"); err != nil {
		return err
	}
	sum := func(a, b int64) (int64, error) { return a + b, nil }
	p.total, err = structures.NewReducingStateFromContext(ctx, "counts", codec.Int64Codec{}, sum)
	return err
}

// Process counts a line; an empty one counts nothing.
func (p *processor) Process(ctx fssdk.Context, _ uint32, data []byte) error {
	line := strings.TrimSpace(string(data))
	if line == "" {
		return nil
	}
	line = p.prefix + line
	count, _, err := p.counts.Get(line)
	if err != nil {
		return err
	}
	count++
	if err := p.counts.Put(line, count); err != nil {
		return err
	}
	if err := p.total.Add(1); err != nil {
		return err
	}
	total, _, err := p.total.Get()
	if err != nil {
		return err
	}
	out, err := json.Marshal(result{line, count, total})
	if err != nil {
		return err
	}
	return ctx.Emit(0, out)
}

// ProcessWatermark passes watermarks on.
func (p *processor) ProcessWatermark(ctx fssdk.Context, _ uint32, watermark uint64) error {
	return ctx.EmitWatermark(0, watermark)
}
