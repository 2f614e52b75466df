// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

// A function that counts the records of each key in windows of event time, which follow each other without a gap. A window's
// count is emitted once, when no record of it is expected any more; a record that comes later all the same is dropped.
package main

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	fssdk "github.com/functionstream/function-stream/go-sdk"
)

func init() { fssdk.Run(&window{}) }

func main() {}

type window struct {
	fssdk.BaseDriver
	size    int64 // milliseconds
	records fssdk.RecordContext
	timers  fssdk.TimerContext
	// How many records each open window has; its key is the name of the window, and of the timer at its end.
	counts fssdk.Store
	// The watermark and the number of dropped records, under these names.
	progress  fssdk.Store
	watermark int64
}

// result is what is emitted.
type result struct {
	Key string `json:"key"`
	// Window is the time at which it begins, in milliseconds since the Unix epoch.
	Window int64  `json:"window"`
	Count  uint64 `json:"count"`
}

func (w *window) Init(ctx fssdk.Context, config map[string]string) (err error) {
	var isRecords, isTimers bool
	w.records, isRecords = ctx.(fssdk.RecordContext)
	w.timers, isTimers = ctx.(fssdk.TimerContext)
	if !isRecords || !isTimers {
		return errors.New("this host has neither keys and times of records nor timers")
	}
	text := config["window"]
	if text == "" {
		text = "10s"
	}
	size, err := time.ParseDuration(text)
	if err != nil || size < time.Millisecond {
		return fmt.Errorf("the window '%s' is not a duration of a millisecond at least, such as 10s", text)
	}
	w.size = size.Milliseconds()
	if w.counts, err = ctx.GetOrCreateStore("counts"); err != nil {
		return err
	}
	if w.progress, err = ctx.GetOrCreateStore("progress"); err != nil {
		return err
	}
	w.watermark = math.MinInt64
	if known, found, err := w.progress.GetState([]byte("watermark")); err != nil || !found {
		return err
	} else if w.watermark, err = strconv.ParseInt(string(known), 10, 64); err != nil {
		return err
	}
	return nil
}

func (w *window) Process(fssdk.Context, uint32, []byte) error {
	record := w.records.Record()
	// The remainder is never negative, so that a time before 1970 has its window too.
	into := ((record.Timestamp % w.size) + w.size) % w.size
	end := record.Timestamp - into + w.size
	if end <= w.watermark {
		_, err := increment(w.progress, []byte("dropped"))
		return err
	}
	name := append(binary.BigEndian.AppendUint64(nil, uint64(end)), record.Key...)
	count, err := increment(w.counts, name)
	if err != nil || count > 1 {
		return err
	}
	return w.timers.SetTimer(fssdk.EventTime, name, end)
}

// OnTimer is called when no record of a window is expected any more.
func (w *window) OnTimer(_ fssdk.Context, timer fssdk.Timer) error {
	value, found, err := w.counts.GetState(timer.Key)
	if err != nil || !found || len(value) != 8 {
		return errors.Join(err, fmt.Errorf("a window that ends at %d has no count", timer.Time))
	}
	if err := w.counts.DeleteState(timer.Key); err != nil {
		return err
	}
	key := timer.Key[8:]
	text, err := json.Marshal(result{Key: string(key), Window: timer.Time - w.size, Count: binary.BigEndian.Uint64(value)})
	if err != nil {
		return err
	}
	return w.records.EmitRecord(0, fssdk.Record{Key: key, Timestamp: timer.Time, Value: text})
}

// ProcessWatermark is called when all timers have fired that the watermark made due. It is kept, so that a new instance knows as
// well which records are late, and passed on to who reads the results.
func (w *window) ProcessWatermark(ctx fssdk.Context, _ uint32, watermark uint64) error {
	w.watermark = int64(min(watermark, math.MaxInt64))
	if err := w.progress.PutState([]byte("watermark"), strconv.AppendInt(nil, w.watermark, 10)); err != nil {
		return err
	}
	return ctx.EmitWatermark(0, watermark)
}

// Custom answers how many records came too late.
func (w *window) Custom(_ fssdk.Context, payload []byte) ([]byte, error) {
	if string(payload) != "dropped" {
		return nil, errors.New("what can be asked is 'dropped'")
	}
	value, found, err := w.progress.GetState([]byte("dropped"))
	if err != nil || !found {
		return []byte("0"), err
	}
	return strconv.AppendUint(nil, binary.BigEndian.Uint64(value), 10), nil
}

// increment adds one to a number in a store, and gives the sum.
func increment(store fssdk.Store, key []byte) (uint64, error) {
	value, found, err := store.GetState(key)
	if err != nil {
		return 0, err
	}
	var sum uint64 = 1
	if found {
		if len(value) != 8 {
			return 0, fmt.Errorf("a number of %d bytes", len(value))
		}
		sum += binary.BigEndian.Uint64(value)
	}
	return sum, store.PutState(key, binary.BigEndian.AppendUint64(nil, sum))
}
