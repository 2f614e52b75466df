// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//go:build wasip1 || wasip2

// Package core has the imports of functionstream:core@0.1.0, as wit/core/processor.wit describes them.
package core

import "unsafe"

//go:wasmimport functionstream:core/collector@0.1.0 emit
//go:noescape
func emit(target uint32, data unsafe.Pointer, length uint32)

//go:wasmimport functionstream:core/collector@0.1.0 emit-watermark
//go:noescape
func emitWatermark(target uint32, watermark uint64)

//go:wasmimport functionstream:core/kv@0.1.0 [constructor]store
//go:noescape
func newStore(name unsafe.Pointer, length uint32) uint32

//go:wasmimport functionstream:core/kv@0.1.0 [method]store.put-state
//go:noescape
func putState(store uint32, key unsafe.Pointer, keyLen uint32, value unsafe.Pointer, valueLen uint32, result unsafe.Pointer)

//go:wasmimport functionstream:core/kv@0.1.0 [method]store.get-state
//go:noescape
func getState(store uint32, key unsafe.Pointer, keyLen uint32, result unsafe.Pointer)

//go:wasmimport functionstream:core/kv@0.1.0 [method]store.delete-state
//go:noescape
func deleteState(store uint32, key unsafe.Pointer, keyLen uint32, result unsafe.Pointer)

//go:wasmimport functionstream:core/kv@0.1.0 [method]store.list-states
//go:noescape
func listStates(store uint32, start unsafe.Pointer, startLen uint32, end unsafe.Pointer, endLen uint32, result unsafe.Pointer)

//go:wasmimport functionstream:core/kv@0.1.0 [method]store.put
//go:noescape
func put(store uint32, group unsafe.Pointer, groupLen uint32, key unsafe.Pointer, keyLen uint32, ns unsafe.Pointer, nsLen uint32,
	user unsafe.Pointer, userLen uint32, value unsafe.Pointer, valueLen uint32, result unsafe.Pointer)

//go:wasmimport functionstream:core/kv@0.1.0 [method]store.get
//go:noescape
func get(store uint32, group unsafe.Pointer, groupLen uint32, key unsafe.Pointer, keyLen uint32, ns unsafe.Pointer, nsLen uint32,
	user unsafe.Pointer, userLen uint32, result unsafe.Pointer)

//go:wasmimport functionstream:core/kv@0.1.0 [method]store.delete
//go:noescape
func remove(store uint32, group unsafe.Pointer, groupLen uint32, key unsafe.Pointer, keyLen uint32, ns unsafe.Pointer, nsLen uint32,
	user unsafe.Pointer, userLen uint32, result unsafe.Pointer)

//go:wasmimport functionstream:core/kv@0.1.0 [method]store.merge
//go:noescape
func merge(store uint32, group unsafe.Pointer, groupLen uint32, key unsafe.Pointer, keyLen uint32, ns unsafe.Pointer, nsLen uint32,
	user unsafe.Pointer, userLen uint32, value unsafe.Pointer, valueLen uint32, result unsafe.Pointer)

//go:wasmimport functionstream:core/kv@0.1.0 [method]store.delete-prefix
//go:noescape
func deletePrefix(store uint32, group unsafe.Pointer, groupLen uint32, key unsafe.Pointer, keyLen uint32, ns unsafe.Pointer, nsLen uint32,
	user unsafe.Pointer, userLen uint32, result unsafe.Pointer)

//go:wasmimport functionstream:core/kv@0.1.0 [method]store.list-complex
//go:noescape
func listComplex(store uint32, group unsafe.Pointer, groupLen uint32, key unsafe.Pointer, keyLen uint32, ns unsafe.Pointer, nsLen uint32,
	start unsafe.Pointer, startLen uint32, end unsafe.Pointer, endLen uint32, result unsafe.Pointer)

//go:wasmimport functionstream:core/kv@0.1.0 [method]store.scan-complex
//go:noescape
func scanComplex(store uint32, group unsafe.Pointer, groupLen uint32, key unsafe.Pointer, keyLen uint32, ns unsafe.Pointer, nsLen uint32,
	result unsafe.Pointer)

//go:wasmimport functionstream:core/kv@0.1.0 [method]iterator.has-next
//go:noescape
func hasNext(iterator uint32, result unsafe.Pointer)

//go:wasmimport functionstream:core/kv@0.1.0 [method]iterator.next
//go:noescape
func next(iterator uint32, result unsafe.Pointer)

//go:wasmimport functionstream:core/kv@0.1.0 [resource-drop]iterator
//go:noescape
func dropIterator(iterator uint32)
