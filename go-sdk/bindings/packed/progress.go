// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//go:build wasip1 || wasip2

package packed

import "unsafe"

//go:wasmimport functionstream:packed/progress@0.1.0 watch
//go:noescape
func watch(cell unsafe.Pointer, length uint32)

// Watch is progress.watch. The cell must be a variable of a package, which stays where it is.
func Watch(cell *uint32) { watch(unsafe.Pointer(cell), 1) }
