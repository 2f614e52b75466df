// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"

	fssdk "github.com/functionstream/function-stream/go-sdk"
	"github.com/functionstream/function-stream/go-sdk/fstest"
)

func TestAddsOne(t *testing.T) {
	host, err := fstest.New(func() fssdk.Driver { return &money{} }, fstest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := host.Send(`{"name":"rbt","money":2}`, "x"); err == nil || !strings.Contains(err.Error(), "record 1: invalid character") {
		t.Fatal(err)
	}
	if got := host.Values(); len(got) != 1 || got[0] != `{"name":"rbt","money":3,"expected":0}` {
		t.Fatal(got)
	}
}
