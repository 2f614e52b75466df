// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	fssdk "github.com/functionstream/function-stream/go-sdk"
	"github.com/functionstream/function-stream/go-sdk/fstest"
	"go.yaml.in/yaml/v3"
)

// scenario is what tests/sdk/README.md describes.
type scenario struct {
	Name      string
	Config    map[string]string
	Outputs   int
	Worlds    []string
	Needs     []string
	InitFails string `yaml:"init-fails"`
	Steps     []step
}

type step struct {
	Send       []*sample
	Source     uint32
	Fails      yaml.Node
	Watermark  *uint64
	Time       *int64
	Checkpoint bool
	Restart    bool
	Heartbeat  *bool
	Custom     *string
	Answers    *string
	Exec       *string
	Modules    map[string]string
	Stop       bool
	Emitted    *[]*sample
	Watermarks *[]uint64
}

// sample is a record that is sent, or is to be emitted: a text, null, which is no sample, or a whole record.
type sample struct {
	Value   *string
	Key     *string
	Headers map[string]string
	Time    int64
	whole   bool
}

// UnmarshalYAML reads any of the three forms.
func (s *sample) UnmarshalYAML(node *yaml.Node) error {
	if node.Kind != yaml.MappingNode {
		return node.Decode(&s.Value)
	}
	type plain sample
	s.whole = true
	return node.Decode((*plain)(s))
}

func (s *sample) record(source uint32) fstest.Record {
	if s == nil {
		s = &sample{}
	}
	record := fstest.Record{Source: source, Timestamp: s.Time, Null: s.Value == nil}
	if s.Value != nil {
		record.Value = []byte(*s.Value)
	}
	if s.Key != nil {
		record.Key = []byte(*s.Key)
	}
	for _, name := range slices.Sorted(maps.Keys(s.Headers)) {
		record.Headers = append(record.Headers, fssdk.Header{Name: name, Value: []byte(s.Headers[name])})
	}
	return record
}

func (s *sample) String() string {
	text := "(null)"
	if s == nil {
		return text
	}
	if s.Value != nil {
		text = "'" + *s.Value + "'"
	}
	if s.whole {
		text += fmt.Sprint(" at ", s.Time, " with ", s.Headers)
		if s.Key != nil {
			text += " of '" + *s.Key + "'"
		}
	}
	return text
}

func TestScenarios(t *testing.T) {
	files, _ := filepath.Glob("../scenarios/*.yaml")
	if len(files) < 10 {
		t.Fatalf("only %d scenarios", len(files))
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) { run(t, read(t, file)) })
	}
}

func read(t *testing.T, file string) (scenario scenario) {
	reader, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	decoder := yaml.NewDecoder(reader)
	decoder.KnownFields(true)
	if err := decoder.Decode(&scenario); err != nil {
		t.Fatal(err)
	}
	return scenario
}

func run(t *testing.T, scenario scenario) {
	if len(scenario.Worlds) > 0 && !slices.Contains(scenario.Worlds, "packed") {
		t.Skip("the test kit is of the packed world")
	}
	host, err := fstest.New(func() fssdk.Driver { return &conformance{} }, fstest.Options{Config: scenario.Config, Outputs: scenario.Outputs})
	if scenario.InitFails != "" {
		if err == nil || !strings.Contains(err.Error(), scenario.InitFails) {
			t.Fatalf("init answers %v", err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for i, step := range scenario.Steps {
		if err := carryOut(host, step, &seen); err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
	}
}

func carryOut(host *fstest.Host, step step, seen *int) error {
	switch {
	case step.Send != nil:
		records := make([]fstest.Record, len(step.Send))
		for i, value := range step.Send {
			records[i] = value.record(step.Source)
		}
		return sent(host.Process(records...), step.Fails)
	case step.Watermark != nil:
		return fired(host.Watermark(0, *step.Watermark), step.Fails)
	case step.Time != nil:
		return fired(host.AdvanceTime(*step.Time), step.Fails)
	case step.Checkpoint:
		return host.Checkpoint()
	case step.Restart:
		return host.Restart()
	case step.Heartbeat != nil:
		well, err := host.Heartbeat()
		return errors.Join(err, same(well, *step.Heartbeat))
	case step.Custom != nil:
		answer, err := host.Custom([]byte(*step.Custom))
		if step.Answers == nil {
			var reason string
			_ = step.Fails.Decode(&reason)
			if err == nil || !strings.Contains(err.Error(), reason) {
				return errors.New("the request was not refused as it should")
			}
			return nil
		}
		return errors.Join(err, same(string(answer), *step.Answers))
	case step.Exec != nil:
		var modules []fssdk.Module
		for name, bytes := range step.Modules {
			modules = append(modules, fssdk.Module{Name: name, Bytes: []byte(bytes)})
		}
		slices.SortFunc(modules, func(a, b fssdk.Module) int { return strings.Compare(a.Name, b.Name) })
		return host.Exec(*step.Exec, modules...)
	case step.Stop:
		return host.Stop()
	case step.Emitted != nil:
		emitted := ofFirst(host)
		since := emitted[min(*seen, len(emitted)):]
		*seen = len(emitted)
		for i := range since {
			since[i].whole = i < len(*step.Emitted) && (*step.Emitted)[i] != nil && (*step.Emitted)[i].whole
		}
		return same(joined(since), joined(*step.Emitted))
	case step.Watermarks != nil:
		got := []uint64{}
		for _, mark := range host.Watermarks() {
			got = append(got, mark.Watermark)
		}
		if !slices.Equal(got, *step.Watermarks) {
			return errors.New("other watermarks were emitted")
		}
		return nil
	}
	return errors.New("the step says nothing")
}

// ofFirst gives what was emitted to output 0.
func ofFirst(host *fstest.Host) (samples []*sample) {
	for _, emitted := range host.Emitted() {
		if emitted.Target != 0 {
			continue
		}
		one := &sample{Headers: map[string]string{}, Time: emitted.Timestamp}
		if value := string(emitted.Value); !emitted.Null {
			one.Value = &value
		}
		if key := string(emitted.Key); emitted.Key != nil {
			one.Key = &key
		}
		for _, header := range emitted.Headers {
			one.Headers[header.Name] = string(header.Value)
		}
		samples = append(samples, one)
	}
	return samples
}

func joined(samples []*sample) string {
	texts := make([]string, len(samples))
	for i, one := range samples {
		texts[i] = one.String()
	}
	return strings.Join(texts, " ")
}

// sent compares the failures of a batch with those that a scenario tells.
func sent(err error, told yaml.Node) error {
	fails := map[int]string{}
	if told.Kind != 0 {
		if err := told.Decode(&fails); err != nil {
			return err
		}
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, err := range joined.Unwrap() {
			var failed *fstest.RecordError
			if !errors.As(err, &failed) {
				return err
			}
			reason, expected := fails[failed.Index]
			if !expected || !strings.Contains(failed.Err.Error(), reason) {
				return err
			}
			delete(fails, failed.Index)
		}
	} else if err != nil {
		return err
	}
	if len(fails) > 0 {
		return errors.New("records did not fail that should")
	}
	return nil
}

// fired compares the timers that failed with those that a scenario tells, by their keys.
func fired(err error, told yaml.Node) error {
	fails := map[string]string{}
	if told.Kind != 0 {
		if err := told.Decode(&fails); err != nil {
			return err
		}
	}
	failures := []error{}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		failures = joined.Unwrap()
	} else if err != nil {
		failures = append(failures, err)
	}
	for _, failure := range failures {
		var failed *fstest.TimerError
		if !errors.As(failure, &failed) {
			return failure
		}
		reason, expected := fails[string(failed.Timer.Key)]
		if !expected || !strings.Contains(failed.Err.Error(), reason) {
			return failure
		}
		delete(fails, string(failed.Timer.Key))
	}
	if len(fails) > 0 {
		return errors.New("timers did not fail that should")
	}
	return nil
}

func same[T comparable](got, want T) error {
	if got != want {
		return errors.New(strings.TrimSpace("got " + show(got) + ", not " + show(want)))
	}
	return nil
}

func show(value any) string {
	if text, ok := value.(string); ok {
		return "'" + text + "'"
	}
	if value == true {
		return "true"
	}
	return "false"
}
