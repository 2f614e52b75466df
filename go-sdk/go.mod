// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

module github.com/functionstream/function-stream/go-sdk

// TinyGo accepts language versions up to 1.23; a build with the standard toolchain takes Go 1.24, which has wasmexport.
go 1.23
