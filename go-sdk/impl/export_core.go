// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//go:build wasip1 || wasip2

package impl

import (
	"os"
	"unsafe"

	"github.com/functionstream/function-stream/go-sdk/api"
	"github.com/functionstream/function-stream/go-sdk/bindings/abi"
)

// The exports of functionstream:core/processor. They cannot answer an error: a call fails by ending the instance, after its
// reason was written to the log.

func must(err error) {
	if err != nil {
		os.Stderr.WriteString(Text(err) + "\n")
		os.Exit(1)
	}
}

//go:wasmexport fs-init
func fsInit(config, pairs uint32) {
	read := readConfig(config, pairs)
	abi.Reset()
	must(program.Init(&perRecord{contextBase{config: read}}, read))
}

//go:wasmexport fs-process
func fsProcess(source, data, length uint32) {
	bytes := abi.Bytes(data, length)
	abi.Reset()
	must(program.Process(source, bytes))
}

//go:wasmexport fs-process-watermark
func fsProcessWatermark(source uint32, watermark uint64) {
	must(program.ProcessWatermark(source, watermark))
}

//go:wasmexport fs-take-checkpoint
func fsTakeCheckpoint(id uint64) { must(program.TakeCheckpoint(id)) }

//go:wasmexport fs-check-heartbeat
func fsCheckHeartbeat() uint32 { return heartbeat() }

//go:wasmexport fs-close
func fsClose() { must(program.Close()) }

//go:wasmexport fs-exec
func fsExec(class, classLength, modules, count uint32) {
	name, read := abi.String(class, classLength), readModules(modules, count)
	abi.Reset()
	must(program.Exec(name, read))
}

//go:wasmexport fs-custom
func fsCustom(payload, length uint32) unsafe.Pointer {
	bytes := abi.Bytes(payload, length)
	abi.Reset()
	answer, err := program.Custom(bytes)
	must(err)
	abi.Answer(0, answer)
	return abi.At()
}

func heartbeat() uint32 {
	well, err := program.CheckHeartbeat()
	if err != nil {
		os.Stderr.WriteString("the heartbeat failed: " + Text(err) + "\n")
	}
	if well {
		return 1
	}
	return 0
}

// readConfig reads a list<tuple<string, string>>.
func readConfig(at, count uint32) map[string]string {
	config := make(map[string]string, count)
	for end := at + count*16; at != end; at += 16 {
		config[abi.String(abi.WordOf(at, 0), abi.WordOf(at, 4))] = abi.String(abi.WordOf(at, 8), abi.WordOf(at, 12))
	}
	return config
}

// readModules reads a list of names with bytes, as tuples or as records, which are the same.
func readModules(at, count uint32) []api.Module {
	modules := make([]api.Module, count)
	for i := range modules {
		modules[i].Name = abi.String(abi.WordOf(at, 0), abi.WordOf(at, 4))
		modules[i].Bytes = abi.Bytes(abi.WordOf(at, 8), abi.WordOf(at, 12))
		at += 16
	}
	return modules
}
