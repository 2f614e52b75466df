// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

// The conformance program in Go: tests/sdk/README.md says what it does.
package main

import (
	fssdk "github.com/functionstream/function-stream/go-sdk"
)

func init() { fssdk.Run(&conformance{}) }

func main() {}
