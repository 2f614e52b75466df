// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

// Emits each value as it is: what a call of each world costs, since both have it.
package main

import fssdk "github.com/functionstream/function-stream/go-sdk"

func init() { fssdk.Run(&emit{}) }

func main() {}

type emit struct{ fssdk.BaseDriver }

func (emit) Process(ctx fssdk.Context, _ uint32, data []byte) error { return ctx.Emit(0, data) }
