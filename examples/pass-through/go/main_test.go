// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"reflect"
	"testing"

	fssdk "github.com/functionstream/function-stream/go-sdk"
	"github.com/functionstream/function-stream/go-sdk/fstest"
)

func TestKeyHeadersAndTimeAreKept(t *testing.T) {
	host, err := fstest.New(func() fssdk.Driver { return &passThrough{} }, fstest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	headers := []fssdk.Header{{Name: "h", Value: []byte("1")}}
	if err := host.Process(fstest.Record{Key: []byte{}, Headers: headers, Timestamp: 7, Value: []byte("v")}); err != nil {
		t.Fatal(err)
	}
	want := fssdk.Record{Key: []byte{}, Headers: headers, Timestamp: 7, Value: []byte("v")}
	if got := host.Emitted()[0].Record; !reflect.DeepEqual(got, want) {
		t.Fatalf("%v is not %v", got, want)
	}
}
