// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"slices"
	"testing"

	fssdk "github.com/functionstream/function-stream/go-sdk"
	"github.com/functionstream/function-stream/go-sdk/fstest"
)

func TestCountsGoOnAfterARestart(t *testing.T) {
	host, err := fstest.New(func() fssdk.Driver { return &wordCount{} }, fstest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(host.Send("a b a"), host.Checkpoint(), host.Restart(), host.Send(" b\nc ")); err != nil {
		t.Fatal(err)
	}
	var counted []string
	for _, emitted := range host.Emitted() {
		counted = append(counted, string(emitted.Key)+"="+string(emitted.Value))
	}
	if !slices.Equal(counted, []string{"a=1", "b=1", "a=2", "b=2", "c=1"}) {
		t.Fatal(counted)
	}
}
