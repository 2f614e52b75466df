// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"testing"

	fssdk "github.com/functionstream/function-stream/go-sdk"
	"github.com/functionstream/function-stream/go-sdk/fstest"
)

func TestEachKeyHasItsCount(t *testing.T) {
	host, err := fstest.New(func() fssdk.Driver { return &keyedCount{} }, fstest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"a", "b", "a"} {
		if err := host.Process(fstest.Record{Key: []byte(key)}); err != nil {
			t.Fatal(err)
		}
	}
	for i, want := range []byte{1, 1, 2} {
		if got := host.Emitted()[i].Value; len(got) != 8 || got[0] != want {
			t.Errorf("the count %d is %v, not %d", i, got, want)
		}
	}
}
