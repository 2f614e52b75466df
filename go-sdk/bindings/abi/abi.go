// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//go:build wasip1 || wasip2

// Package abi has what the bindings of both worlds need of the component model's canonical ABI, by hand: WIT types are
// flattened into integers, lists and strings are an address and a length, and what does not fit into one result is read from
// Area or written to it.
package abi

import "unsafe"

// Area is where the host writes results of imports, and reads results of exports. It is a variable, since a stack may move
// while the host asks for memory. One is enough: calls do not overlap.
var Area [4]uint64

// At is the address of Area.
func At() unsafe.Pointer { return unsafe.Pointer(&Area) }

// Byte of Area.
func Byte(offset uintptr) byte { return *(*byte)(unsafe.Add(At(), offset)) }

// Word of Area.
func Word(offset uintptr) uint32 { return *(*uint32)(unsafe.Add(At(), offset)) }

// SetWord writes a word of Area.
func SetWord(offset uintptr, value uint32) { *(*uint32)(unsafe.Add(At(), offset)) = value }

// SetByte writes a byte of Area.
func SetByte(offset uintptr, value byte) { *(*byte)(unsafe.Add(At(), offset)) = value }

// Data is the address of bytes.
func Data(bytes []byte) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(bytes)) }

// Len is the length of bytes.
func Len(bytes []byte) uint32 { return uint32(len(bytes)) }

// View is the bytes at an address, valid until Reset.
func View(address, length uint32) []byte {
	if length == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Add(nil, uintptr(address))), length)
}

// Bytes is a copy of the bytes at an address.
func Bytes(address, length uint32) []byte {
	return append(make([]byte, 0, length), View(address, length)...)
}

// String is a copy of the string at an address.
func String(address, length uint32) string { return string(View(address, length)) }

// BytesAt is a copy of the list that Area has at an offset.
func BytesAt(offset uintptr) []byte { return Bytes(Word(offset), Word(offset+4)) }

// StringAt is a copy of the string that Area has at an offset.
func StringAt(offset uintptr) string { return String(Word(offset), Word(offset+4)) }

// WordOf is a word at an address, as in the elements of a list.
func WordOf(address uint32, offset uintptr) uint32 {
	return *(*uint32)(unsafe.Add(nil, uintptr(address)+offset))
}

// kept is what an export has answered, which the host reads after the call.
var kept []byte

// Answer puts a list or a string into Area at an offset.
func Answer(offset uintptr, bytes []byte) {
	kept = bytes
	SetWord(offset, uint32(uintptr(Data(bytes))))
	SetWord(offset+4, Len(bytes))
}
