// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

package impl

import "github.com/functionstream/function-stream/go-sdk/api"

// The program's function.
var program Runtime

// Run makes a driver the program's function.
func Run(driver api.Driver) { program.Register(driver) }
