// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//go:build wasip1 || wasip2

// Package packed has the imports of functionstream:packed@0.1.0, as wit/packed/packed.wit describes them.
package packed

import (
	"unsafe"

	"github.com/functionstream/function-stream/go-sdk/api"
	"github.com/functionstream/function-stream/go-sdk/bindings/abi"
)

//go:wasmimport functionstream:packed/output@0.1.0 emit-frame
//go:noescape
func emitFrame(frame unsafe.Pointer, length uint32, result unsafe.Pointer)

//go:wasmimport functionstream:packed/output@0.1.0 emit-watermark
//go:noescape
func emitWatermark(target uint32, watermark uint64, result unsafe.Pointer)

//go:wasmimport functionstream:packed/state@0.1.0 open
//go:noescape
func open(name unsafe.Pointer, length uint32, result unsafe.Pointer)

//go:wasmimport functionstream:packed/state@0.1.0 get
//go:noescape
func get(store uint32, key unsafe.Pointer, keyLength uint32, result unsafe.Pointer)

//go:wasmimport functionstream:packed/state@0.1.0 write
//go:noescape
func write(store uint32, ops unsafe.Pointer, opsLength uint32, result unsafe.Pointer)

//go:wasmimport functionstream:packed/state@0.1.0 scan
//go:noescape
func scan(store uint32, start unsafe.Pointer, startLength uint32, endGiven uint32, end unsafe.Pointer, endLength uint32,
	maxBytes uint32, result unsafe.Pointer)

// EmitFrame is output.emit-frame.
func EmitFrame(frame []byte) error {
	emitFrame(abi.Data(frame), abi.Len(frame), abi.At())
	return refusal()
}

// EmitWatermark is output.emit-watermark.
func EmitWatermark(target uint32, watermark uint64) error {
	emitWatermark(target, watermark, abi.At())
	return refusal()
}

// refusal is the error of a result<_, string>.
func refusal() error {
	if abi.Byte(0) == 0 {
		return nil
	}
	defer abi.Reset()
	return api.NewError(api.ErrResultUnexpected, abi.StringAt(4))
}

// Open is state.open.
func Open(name string) (uint32, error) {
	bytes := []byte(name)
	open(abi.Data(bytes), abi.Len(bytes), abi.At())
	if abi.Byte(0) != 0 {
		return 0, stateError()
	}
	return abi.Word(4), nil
}

// Get is state.get.
func Get(store uint32, key []byte) (value []byte, found bool, err error) {
	get(store, abi.Data(key), abi.Len(key), abi.At())
	if abi.Byte(0) != 0 {
		return nil, false, stateError()
	}
	if abi.Byte(4) == 0 {
		return nil, false, nil
	}
	value = abi.BytesAt(8)
	abi.Reset()
	return value, true, nil
}

// Write is state.write.
func Write(store uint32, ops []byte) error {
	write(store, abi.Data(ops), abi.Len(ops), abi.At())
	if abi.Byte(0) != 0 {
		return stateError()
	}
	return nil
}

// Scan is state.scan; next is nil at the end.
func Scan(store uint32, start, end []byte, maxBytes uint32) (pairs, next []byte, err error) {
	scan(store, abi.Data(start), abi.Len(start), 1, abi.Data(end), abi.Len(end), maxBytes, abi.At())
	if abi.Byte(0) != 0 {
		return nil, nil, stateError()
	}
	pairs = abi.BytesAt(4)
	if abi.Byte(12) != 0 {
		next = abi.BytesAt(16)
	}
	abi.Reset()
	return pairs, next, nil
}

// stateError is the error of a result<…, state.error>.
func stateError() error {
	defer abi.Reset()
	code := api.ErrStoreInternal
	if abi.Byte(4) == 0 {
		code = api.ErrStoreInvalidName
	}
	return api.NewError(code, abi.StringAt(8))
}
