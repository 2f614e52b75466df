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

func TestCountsAndTotalSurviveARestart(t *testing.T) {
	options := fstest.Options{Config: map[string]string{"key_prefix": "n:"}}
	host, err := fstest.New(func() fssdk.Driver { return &processor{} }, options)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(host.Send("a", " b ", ""), host.Checkpoint(), host.Restart(), host.Send("a")); err != nil {
		t.Fatal(err)
	}
	want := []string{
		`{"line":"n:a","count":1,"total":1}`,
		`{"line":"n:b","count":1,"total":2}`,
		`{"line":"n:a","count":2,"total":3}`,
	}
	if got := host.Values(); !slices.Equal(got, want) {
		t.Fatal(got)
	}
}
