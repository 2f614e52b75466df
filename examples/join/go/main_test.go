// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"slices"
	"testing"

	fssdk "github.com/functionstream/function-stream/go-sdk"
	"github.com/functionstream/function-stream/go-sdk/fstest"
)

func TestAnOrderWaitsForItsCustomer(t *testing.T) {
	host, err := fstest.New(func() fssdk.Driver { return &join{} }, fstest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	of := func(source uint32, value string) fstest.Record {
		return fstest.Record{Source: source, Key: []byte("7"), Value: []byte(value)}
	}
	if err := host.Process(of(1, `{"item":"pen","price":3}`)); err != nil {
		t.Fatal(err)
	}
	if err := host.Restart(); err != nil {
		t.Fatal(err)
	}
	if err := host.Process(of(0, `{"name":"Ann"}`), of(1, `{"item":"ink","price":5}`)); err != nil {
		t.Fatal(err)
	}
	wanted := []string{`{"customer":"Ann","item":"pen","price":3}`, `{"customer":"Ann","item":"ink","price":5}`}
	if got := host.Values(); !slices.Equal(got, wanted) {
		t.Fatal(got)
	}
}
