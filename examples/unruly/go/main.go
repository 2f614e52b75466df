// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

// A function that does what its records say, most of which is bad: for seeing what becomes of a function that misbehaves.
//
// A record that begins with "error" makes it return an error, one that begins with "trap" makes it panic, and anything else is
// emitted as it came.
package main

import (
	"bytes"
	"fmt"

	fssdk "github.com/functionstream/function-stream/go-sdk"
)

func init() { fssdk.Run(&unruly{}) }

func main() {}

type unruly struct {
	fssdk.BaseDriver
}

func (*unruly) Process(ctx fssdk.Context, _ uint32, data []byte) error {
	switch {
	case bytes.HasPrefix(data, []byte("error")):
		return fmt.Errorf("told to fail by %q", data)
	case bytes.HasPrefix(data, []byte("trap")):
		panic("told to trap")
	}
	return ctx.Emit(0, data)
}
