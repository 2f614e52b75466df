// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

// A component of the per-record world alone must not import what other hosts do not have.

//go:build (wasip1 || wasip2) && !fnstream_per_record

package impl

import (
	"unsafe"

	"github.com/functionstream/function-stream/go-sdk/api"
	"github.com/functionstream/function-stream/go-sdk/bindings/abi"
	"github.com/functionstream/function-stream/go-sdk/bindings/packed"
)

// The exports of functionstream:packed/function and functionstream:packed/timer-handler.

// result puts a result<_, string> into the area.
func result(err error) unsafe.Pointer {
	if err == nil {
		abi.SetByte(0, 0)
	} else {
		abi.SetByte(0, 1)
		abi.Answer(4, []byte(Text(err)))
	}
	return abi.At()
}

//go:wasmexport functionstream:packed/function@0.1.0#init
func packedInit(config, pairs, name, length uint32, revision uint64, taskIndex, outputs, count uint32) unsafe.Pointer {
	read := readConfig(config, pairs)
	metadata := api.Metadata{Name: abi.String(name, length), Revision: revision, TaskIndex: taskIndex, Outputs: readStrings(outputs, count)}
	abi.Reset()
	packed.Watch(&program.atHand)
	return result(program.Init(NewBatch(packedHost{}, read, metadata), read))
}

func readStrings(at, count uint32) []string {
	strings := make([]string, count)
	for i := range strings {
		strings[i] = abi.String(abi.WordOf(at, 0), abi.WordOf(at, 4))
		at += 8
	}
	return strings
}

//go:wasmexport functionstream:packed/function@0.1.0#process-batch
func packedProcessBatch(frame, length uint32) unsafe.Pointer {
	bytes := abi.Bytes(frame, length)
	abi.Reset()
	return resultOf(program.ProcessBatch(bytes))
}

//go:wasmexport functionstream:packed/timer-handler@0.1.0#on-timers
func packedOnTimers(frame, length uint32) unsafe.Pointer {
	bytes := abi.Bytes(frame, length)
	abi.Reset()
	return resultOf(program.OnTimers(bytes))
}

// resultOf puts a result<_, record-error> into the area.
func resultOf(index uint32, err error) unsafe.Pointer {
	if err == nil {
		abi.SetByte(0, 0)
	} else {
		abi.SetByte(0, 1)
		abi.SetWord(4, index)
		abi.Answer(8, []byte(Text(err)))
	}
	return abi.At()
}

//go:wasmexport functionstream:packed/function@0.1.0#process-watermark
func packedProcessWatermark(source uint32, watermark uint64) unsafe.Pointer {
	return result(program.ProcessWatermark(source, watermark))
}

//go:wasmexport functionstream:packed/function@0.1.0#take-checkpoint
func packedTakeCheckpoint(id uint64) unsafe.Pointer { return result(program.TakeCheckpoint(id)) }

//go:wasmexport functionstream:packed/function@0.1.0#check-heartbeat
func packedCheckHeartbeat() uint32 { return heartbeat() }

//go:wasmexport functionstream:packed/function@0.1.0#close
func packedClose() unsafe.Pointer { return result(program.Close()) }

//go:wasmexport functionstream:packed/function@0.1.0#exec
func packedExec(class, classLength, modules, count uint32) unsafe.Pointer {
	name, read := abi.String(class, classLength), readModules(modules, count)
	abi.Reset()
	return result(program.Exec(name, read))
}

//go:wasmexport functionstream:packed/function@0.1.0#custom
func packedCustom(payload, length uint32) unsafe.Pointer {
	bytes := abi.Bytes(payload, length)
	abi.Reset()
	answer, err := program.Custom(bytes)
	if err != nil {
		return result(err)
	}
	abi.SetByte(0, 0)
	abi.Answer(4, answer)
	return abi.At()
}

// packedHost is the host of the component.
type packedHost struct{}

func (packedHost) EmitFrame(frame []byte) error { return packed.EmitFrame(frame) }

func (packedHost) EmitWatermark(target uint32, watermark uint64) error {
	return packed.EmitWatermark(target, watermark)
}

func (packedHost) SetTimer(domain api.TimeDomain, key []byte, at int64) error {
	return packed.SetTimer(uint8(domain), key, at)
}

func (packedHost) DeleteTimer(domain api.TimeDomain, key []byte) error {
	return packed.DeleteTimer(uint8(domain), key)
}

func (packedHost) OpenStore(name string) (StoreHost, error) {
	handle, err := packed.Open(name)
	return packedStore(handle), err
}

type packedStore uint32

func (s packedStore) Get(key []byte) ([]byte, bool, error) { return packed.Get(uint32(s), key) }

func (s packedStore) Write(ops []byte) error { return packed.Write(uint32(s), ops) }

func (s packedStore) Scan(start, end []byte, maxBytes uint32) (pairs, next []byte, err error) {
	return packed.Scan(uint32(s), start, end, maxBytes)
}
