// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//go:build wasip2

package abi

// Reset does nothing: TinyGo has a cabi_realloc of its own, on its heap, whose collector calls no import.
func Reset() {}
