// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

module join/go

go 1.23

require (
	github.com/functionstream/function-stream/go-sdk v0.0.0
	github.com/functionstream/function-stream/go-sdk-advanced v0.0.0
)

replace (
	github.com/functionstream/function-stream/go-sdk => ../../../go-sdk
	github.com/functionstream/function-stream/go-sdk-advanced => ../../../go-sdk-advanced
)
