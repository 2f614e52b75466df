// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

module github.com/functionstream/function-stream/tests/sdk/go

go 1.23

require (
	github.com/functionstream/function-stream/go-sdk v0.0.0
	github.com/functionstream/function-stream/go-sdk-advanced v0.0.0
)

require go.yaml.in/yaml/v3 v3.0.6

replace (
	github.com/functionstream/function-stream/go-sdk => ../../../go-sdk
	github.com/functionstream/function-stream/go-sdk-advanced => ../../../go-sdk-advanced
)
