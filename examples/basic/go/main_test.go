// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestMoneyGrowsByOne(t *testing.T) {
	var out bytes.Buffer
	if err := run(strings.NewReader(`{"name":"rbt","money":2}`), &out); err != nil {
		t.Fatal(err)
	}
	if want := `{"name":"rbt","money":3,"expected":0}`; out.String() != want {
		t.Fatalf("got %s, want %s", out.String(), want)
	}
}

func TestWhatIsNotJSONIsAnError(t *testing.T) {
	if err := run(strings.NewReader("x"), &bytes.Buffer{}); err == nil {
		t.Fatal("no error")
	}
}
