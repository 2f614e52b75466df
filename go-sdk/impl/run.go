// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

package impl

import "github.com/functionstream/function-stream/go-sdk/api"

// program is the function of this program.
var program = Runtime{atHand: NoRecord}

// Run registers a driver as the function of this program.
func Run(driver api.Driver) { program.Register(driver) }
