// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//go:build wasip1 || wasip2

package packed

import (
	"unsafe"

	"github.com/functionstream/function-stream/go-sdk/bindings/abi"
)

//go:wasmimport functionstream:packed/timers@0.1.0 set
//go:noescape
func setTimer(domain uint32, key unsafe.Pointer, keyLength uint32, at int64, result unsafe.Pointer)

//go:wasmimport functionstream:packed/timers@0.1.0 delete
//go:noescape
func deleteTimer(domain uint32, key unsafe.Pointer, keyLength uint32, result unsafe.Pointer)

// SetTimer is timers.set.
func SetTimer(domain uint8, key []byte, at int64) error {
	setTimer(uint32(domain), abi.Data(key), abi.Len(key), at, abi.At())
	return refusal()
}

// DeleteTimer is timers.delete.
func DeleteTimer(domain uint8, key []byte) error {
	deleteTimer(uint32(domain), abi.Data(key), abi.Len(key), abi.At())
	return refusal()
}
