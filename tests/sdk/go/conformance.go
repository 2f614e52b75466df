// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"log"
	"math"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	fssdk "github.com/functionstream/function-stream/go-sdk"
)

// conformance carries out the commands of its records.
type conformance struct {
	fssdk.BaseDriver
	ctx     fssdk.Context
	store   fssdk.Store
	states  states
	records int
	source  uint32
	sick    bool
	garbage []byte
}

func (c *conformance) Init(ctx fssdk.Context, config map[string]string) (err error) {
	if text := config["fail"]; text != "" {
		return errors.New(text)
	}
	if percent, err := strconv.Atoi(config["gogc"]); err == nil {
		debug.SetGCPercent(percent)
	}
	c.ctx, c.states = ctx, openStates(ctx)
	c.store, err = ctx.GetOrCreateStore("s")
	return err
}

func (c *conformance) Process(_ fssdk.Context, source uint32, data []byte) error {
	c.records++
	c.source = source
	if records, ok := c.ctx.(fssdk.RecordContext); ok && records.Record().Null {
		if data == nil || len(data) > 0 {
			return fmt.Errorf("a null value comes as %v, not as an empty slice", data)
		}
		return c.emit("null")
	}
	for _, line := range strings.Split(string(data), "\n") {
		if err := c.run(line); err != nil {
			return err
		}
	}
	return nil
}

func (c *conformance) OnTimer(_ fssdk.Context, timer fssdk.Timer) error {
	for name, domain := range domains {
		if domain == timer.Domain {
			if err := c.emit(fmt.Sprint("fired ", name, " ", timer.Time, " ", string(timer.Key))); err != nil {
				return err
			}
		}
	}
	command, found, err := c.store.GetState(append([]byte("on:"), timer.Key...))
	if err != nil || !found {
		return err
	}
	return c.run(string(command))
}

var domains = map[string]fssdk.TimeDomain{"event": fssdk.EventTime, "processing": fssdk.ProcessingTime}

func (c *conformance) ProcessWatermark(ctx fssdk.Context, _ uint32, watermark uint64) error {
	return ctx.EmitWatermark(0, watermark)
}

func (c *conformance) TakeCheckpoint(_ fssdk.Context, id uint64) error {
	return c.store.PutState([]byte("checkpoint"), []byte(strconv.FormatUint(id, 10)))
}

func (c *conformance) CheckHeartbeat(fssdk.Context) bool { return !c.sick }

func (c *conformance) Exec(_ fssdk.Context, class string, modules []fssdk.Module) error {
	for _, module := range modules {
		class += " " + module.Name + "=" + string(module.Bytes)
	}
	return c.store.PutState([]byte("exec"), []byte(class))
}

func (c *conformance) Custom(_ fssdk.Context, payload []byte) ([]byte, error) {
	switch string(payload) {
	case "fail":
		return nil, errors.New("refused")
	case "die":
		os.Exit(1)
	}
	return append([]byte("custom "), payload...), nil
}

func (c *conformance) timers() fssdk.TimerContext { return c.ctx.(fssdk.TimerContext) }

func (c *conformance) emit(text string) error { return c.ctx.Emit(0, []byte(text)) }

// run carries out one command.
func (c *conformance) run(line string) error {
	name, rest, _ := strings.Cut(line, " ")
	words := func(n int) []string {
		found := strings.SplitN(rest, " ", n)
		for len(found) < n {
			found = append(found, "")
		}
		return found
	}
	number := func(text string) int {
		n, err := strconv.Atoi(text)
		if err != nil {
			panic(err)
		}
		return n
	}
	switch name {
	case "emit":
		w := words(2)
		return c.ctx.Emit(uint32(number(w[0])), []byte(w[1]))
	case "":
		return c.emit("empty")
	case "state":
		answer, err := c.states.run(words(4))
		if err != nil || answer == "" {
			return err
		}
		return c.emit(answer)
	case "record", "pass", "emit-record", "tombstone", "metadata":
		return c.whole(name, words)
	case "emit-null":
		return c.ctx.(fssdk.RecordContext).EmitRecord(uint32(number(rest)), fssdk.Record{Null: true})
	case "watermark":
		w := words(2)
		return c.ctx.EmitWatermark(uint32(number(w[0])), uint64(number(w[1])))
	case "source":
		return c.emit(fmt.Sprint("source ", c.source))
	case "field":
		return c.emit(fmt.Sprint("field ", c.records))
	case "sick":
		c.sick = true
	case "fail":
		return errors.New(rest)
	case "die":
		os.Exit(1)
	case "panic":
		panic(rest)
	case "fatal":
		log.Fatal(rest)
	case "deadlock":
		<-make(chan int)
	case "panic-beside":
		go func() { panic(rest) }()
		time.Sleep(time.Millisecond)
	case "garbage":
		c.garbage = make([]byte, number(rest))
	case "open":
		name := rest
		if length, ok := strings.CutPrefix(rest, "long "); ok {
			name = strings.Repeat("n", number(length))
		}
		if _, err := c.ctx.GetOrCreateStore(name); err != nil {
			return c.emit("refused")
		}
		return c.emit("opened")
	case "timer":
		w := words(3)
		return c.timers().SetTimer(domains[w[0]], []byte(w[2]), int64(number(w[1])))
	case "untimer":
		w := words(2)
		return c.timers().DeleteTimer(domains[w[0]], []byte(w[1]))
	case "long-timer":
		if err := c.timers().SetTimer(fssdk.EventTime, []byte(strings.Repeat("k", number(rest))), math.MaxInt64); err != nil {
			return c.emit("refused")
		}
		return c.emit("set")
	case "other":
		w := words(3)
		store, err := c.ctx.GetOrCreateStore(w[0])
		if err != nil {
			return err
		}
		return store.PutState([]byte(w[1]), []byte(w[2]))
	default:
		return c.state(name, words, number)
	}
	return nil
}

// whole carries out a command on whole records, which the per-record world does not have.
func (c *conformance) whole(name string, words func(int) []string) error {
	records := c.ctx.(fssdk.RecordContext)
	record := records.Record()
	switch name {
	case "record":
		text := "record no key"
		if record.Key != nil {
			text = "record key=" + string(record.Key)
		}
		text += fmt.Sprint(" time=", record.Timestamp)
		for _, header := range record.Headers {
			text += " " + header.Name + "=" + string(header.Value)
		}
		return c.emit(text)
	case "pass":
		record.Value = []byte(words(1)[0])
		return records.EmitRecord(0, record)
	case "tombstone":
		return records.EmitRecord(0, fssdk.Record{Key: []byte(words(1)[0]), Timestamp: record.Timestamp, Null: true})
	case "metadata":
		metadata := c.ctx.(fssdk.MetadataContext).Metadata()
		return c.emit(fmt.Sprint("metadata ", metadata.TaskIndex, " ", len(metadata.Outputs)))
	}
	w := words(4)
	at, err := strconv.ParseInt(w[1], 10, 64)
	header, value, _ := strings.Cut(w[2], "=")
	headers := []fssdk.Header{{Name: header, Value: []byte(value)}}
	return errors.Join(err, records.EmitRecord(0, fssdk.Record{Key: []byte(w[0]), Timestamp: at, Headers: headers, Value: []byte(w[3])}))
}

// state carries out a command on the store.
func (c *conformance) state(name string, words func(int) []string, number func(string) int) error {
	switch name {
	case "put":
		w := words(2)
		return c.store.PutState([]byte(w[0]), []byte(w[1]))
	case "delete":
		return c.store.DeleteState([]byte(words(1)[0]))
	case "get":
		key := words(1)[0]
		value, found, err := c.store.GetState([]byte(key))
		return c.told(key, value, found, err)
	case "list":
		w := words(2)
		keys, err := c.store.ListStates([]byte(w[0]), []byte(w[1]))
		return c.listed(keys, err)
	case "large":
		w := words(2)
		return c.store.PutState([]byte(w[0]), []byte(strings.Repeat("x", number(w[1]))))
	case "size":
		value, _, err := c.store.GetState([]byte(words(1)[0]))
		if err != nil {
			return err
		}
		return c.emit(fmt.Sprint("size ", len(value)))
	case "cput":
		w := words(3)
		return c.store.Put(complexKey(w[0], w[1]), []byte(w[2]))
	case "merge":
		w := words(3)
		return c.store.Merge(complexKey(w[0], w[1]), []byte(w[2]))
	case "cdelete":
		w := words(2)
		return c.store.Delete(complexKey(w[0], w[1]))
	case "cget":
		w := words(2)
		value, found, err := c.store.Get(complexKey(w[0], w[1]))
		return c.told(w[1], value, found, err)
	case "cprefix":
		w := words(2)
		return c.store.DeletePrefix(complexKey(w[0], w[1]))
	case "clist":
		w := words(3)
		keys, err := c.store.ListComplex([]byte("g"), []byte(w[0]), []byte("n"), []byte(w[1]), []byte(w[2]))
		return c.listed(keys, err)
	case "fill":
		w := words(3)
		value := []byte(strings.Repeat("x", number(w[2])))
		for i := range number(w[1]) {
			if err := c.store.Put(complexKey(w[0], fmt.Sprintf("%05d", i)), value); err != nil {
				return err
			}
		}
		return nil
	case "list-from":
		keys, err := c.store.(fssdk.RangeStore).ListStatesFrom([]byte(words(1)[0]))
		return c.listed(keys, err)
	case "clist-from":
		w := words(2)
		keys, err := c.store.(fssdk.RangeStore).ListComplexFrom([]byte("g"), []byte(w[0]), []byte("n"), []byte(w[1]))
		return c.listed(keys, err)
	case "walk":
		w := words(2)
		pairs, bytes := 0, 0
		var failed error
		err := c.scan(w[0], func(key, value []byte) {
			pairs, bytes = pairs+1, bytes+len(value)
			failed = errors.Join(failed, c.edit(w[0], w[1], string(key), number))
		})
		return errors.Join(err, failed, c.emit(fmt.Sprint("walked ", pairs, " ", bytes)))
	case "scan-range", "delete-range", "merge-simple", "cscan-range", "cdelete-range":
		return c.ranges(name, words)
	case "scan":
		text := "pairs"
		err := c.scan(words(1)[0], func(key, value []byte) { text += " " + string(key) + "=" + string(value) })
		return errors.Join(err, c.emit(text))
	case "count":
		pairs, bytes := 0, 0
		err := c.scan(words(1)[0], func(_, value []byte) { pairs, bytes = pairs+1, bytes+len(value) })
		return errors.Join(err, c.emit(fmt.Sprint("count ", pairs, " ", bytes)))
	}
	return fmt.Errorf("the command '%s' is not known", name)
}

// ranges carries out a command on a range of keys.
func (c *conformance) ranges(name string, words func(int) []string) error {
	store := c.store.(fssdk.OrderedStore)
	end := func(word string) []byte {
		if word == "" {
			return nil
		}
		return []byte(word)
	}
	two, three := words(2), words(3)
	var pairs fssdk.Iterator
	var err error
	switch name {
	case "scan-range":
		pairs, err = store.ScanStates([]byte(two[0]), end(two[1]))
	case "cscan-range":
		pairs, err = store.ScanRange([]byte("g"), []byte(three[0]), []byte("n"), []byte(three[1]), end(three[2]))
	case "delete-range":
		return store.DeleteStates([]byte(two[0]), end(two[1]))
	case "cdelete-range":
		return store.DeleteRange([]byte("g"), []byte(three[0]), []byte("n"), []byte(three[1]), end(three[2]))
	default:
		return store.MergeState([]byte(two[0]), []byte(two[1]))
	}
	if err != nil {
		return err
	}
	text := "pairs"
	err = visitAll(pairs, func(key, value []byte) { text += " " + string(key) + "=" + string(value) })
	return errors.Join(err, c.emit(text))
}

// edit writes something at a key of a walk.
func (c *conformance) edit(part, what, key string, number func(string) int) error {
	later := func(by int) string { return fmt.Sprintf("%05d", number(key[:5])+by) }
	switch {
	case what == "delete-ahead":
		return c.store.Delete(complexKey(part, later(1)))
	case what == "delete-here":
		return c.store.Delete(complexKey(part, key))
	case what == "put-ahead" && strings.HasSuffix(key, "0"):
		return c.store.Put(complexKey(part, key+"+"), []byte("y"))
	case what == "merge-ahead" && strings.HasSuffix(key, "+"):
		return c.store.Merge(complexKey(part, later(2)), []byte("z"))
	case what == "prefix-ahead" && strings.HasSuffix(key, "000"):
		return c.store.DeletePrefix(complexKey(part, key[:2]+"5"))
	case what == "put-behind":
		return c.store.Put(complexKey(part, "!"+key), []byte("b"))
	}
	return nil
}

func (c *conformance) scan(part string, visit func(key, value []byte)) error {
	pairs, err := c.store.ScanComplex([]byte("g"), []byte(part), []byte("n"))
	if err != nil {
		return err
	}
	return visitAll(pairs, visit)
}

func visitAll(pairs fssdk.Iterator, visit func(key, value []byte)) error {
	defer pairs.Close()
	for {
		more, err := pairs.HasNext()
		if err != nil {
			return err
		}
		key, value, ok, err := pairs.Next()
		if err != nil || ok != more {
			return errors.Join(err, fmt.Errorf("has next says %v, next %v", more, ok))
		}
		if !ok {
			return nil
		}
		visit(key, value)
	}
}

func (c *conformance) told(key string, value []byte, found bool, err error) error {
	switch {
	case err != nil:
		return err
	case found:
		return c.emit(key + "=" + string(value))
	}
	return c.emit(key + " absent")
}

func (c *conformance) listed(keys [][]byte, err error) error {
	text := "keys"
	for _, key := range keys {
		text += " " + string(key)
	}
	return errors.Join(err, c.emit(text))
}

func complexKey(part, user string) fssdk.ComplexKey {
	return fssdk.ComplexKey{KeyGroup: []byte("g"), Key: []byte(part), Namespace: []byte("n"), UserKey: []byte(user)}
}
