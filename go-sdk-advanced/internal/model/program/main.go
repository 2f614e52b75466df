// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

// The model as a component, for the tests on the real host.
package main

import (
	fssdk "github.com/functionstream/function-stream/go-sdk"
	"github.com/functionstream/function-stream/go-sdk-advanced/internal/model"
)

func init() { fssdk.Run(&model.Driver{}) }

func main() {}
