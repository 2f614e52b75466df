// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"

	fssdk "github.com/functionstream/function-stream/go-sdk"
	"github.com/functionstream/function-stream/go-sdk/fstest"
)

func TestWhatIsNoWordIsPassedOnAndAnErrorIsReturned(t *testing.T) {
	host, err := fstest.New(func() fssdk.Driver { return &unruly{} }, fstest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := host.Send("good", "error 1", "better"); err == nil || !strings.Contains(err.Error(), `told to fail by "error 1"`) {
		t.Fatalf("the error is %v", err)
	}
	if got := strings.Join(host.Values(), ","); got != "good,better" {
		t.Fatalf("emitted %s", got)
	}
}
