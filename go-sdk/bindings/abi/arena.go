// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//go:build wasip1 && !tinygo

package abi

import "unsafe"

// Where the host puts what it hands over: the arguments of exports and the results of imports.
//
// The canonical ABI has the host call cabi_realloc for the memory, and while it does, the guest must not call any import:
// the component would end with "cannot leave component instance". Go's heap cannot be used then, since an allocation may
// start or help a garbage collection, and that reads the clock, which is an import. So the memory is an arena of its own
// beside the heap: what is handed over is copied out of it at once, and then it is empty again.
//
// The arena grows by runtime.sbrk, as the runtime itself does, because the runtime takes it for granted that nobody else
// moves the end of the memory: growing it by another way would have the heap laid over the arena. The linker lets a program
// use that function with -ldflags=-checklinkname=0, which "function-stream build" passes.
//
// The adapter from WASI preview 1 has memory of its own, which it asks for before the runtime knows where the heap begins,
// and keeps for ever. It comes from a variable, and is never reused.

//go:linkname sbrk runtime.sbrk
func sbrk(n uintptr) unsafe.Pointer

// region is a part of the arena. They are few, since each is at least as large as all before it.
type region struct {
	base, size, used uintptr
}

const firstRegion = 256 << 10

var (
	regions [24]region
	count   int
	current int
)

// adapterMemory is for the adapter's stack and its state, of 64 KiB each.
var (
	adapterMemory [4 * 64 << 10]byte
	adapterUsed   uintptr
)

// realloc gives memory until the next Reset. It must not touch the heap, nor write a pointer that the collector knows.
//
//go:wasmexport cabi_realloc
func realloc(old unsafe.Pointer, oldSize, align, size uint32) unsafe.Pointer {
	place := allocate(uintptr(size), uintptr(align))
	if place == 0 {
		return nil
	}
	to := unsafe.Add(nil, place)
	if oldSize > 0 {
		copy(unsafe.Slice((*byte)(to), size), unsafe.Slice((*byte)(old), oldSize))
	}
	return to
}

func allocate(size, align uintptr) uintptr {
	for ; current < count; current++ {
		region := &regions[current]
		at := (region.used + align - 1) &^ (align - 1)
		if at+size <= region.size {
			region.used = at + size
			return region.base + at
		}
	}
	grown := uintptr(firstRegion)
	for i := 0; i < count; i++ {
		grown += regions[i].size
	}
	if grown < size {
		grown = (size + 0xFFFF) &^ 0xFFFF
	}
	base := uintptr(sbrk(grown))
	if base == 0 || count == len(regions) {
		return 0
	}
	regions[count] = region{base: base, size: grown, used: size}
	count++
	return base
}

// Reset empties the arena. What was handed over must have been copied before.
func Reset() {
	for i := 0; i <= current && i < count; i++ {
		regions[i].used = 0
	}
	current = 0
}

// reallocAdapter gives the adapter its memory.
//
//go:wasmexport cabi_realloc_adapter
func reallocAdapter(_ unsafe.Pointer, _, align, size uint32) unsafe.Pointer {
	base := uintptr(unsafe.Pointer(&adapterMemory))
	at := (base+adapterUsed+uintptr(align)-1)&^(uintptr(align)-1) - base
	if at+uintptr(size) > uintptr(len(adapterMemory)) {
		return nil
	}
	adapterUsed = at + uintptr(size)
	return unsafe.Add(nil, base+at)
}
