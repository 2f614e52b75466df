// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

package impl

import (
	"unsafe"

	"github.com/functionstream/function-stream/go-sdk/api"
)

// The packed frame, as the WIT package functionstream:packed describes it: a header, seven arrays, and the payload. Its
// integers are little-endian, as are those of WebAssembly and of the machines that tests run on, so arrays are laid over
// the bytes instead of being decoded.
const (
	frameMagic  = 'F' | 'S'<<8 | 'F'<<16 | 1<<24
	frameHeader = 16
	frameRecord = 28
)

// frame is a view of a packed frame. The bytes come from the host, which checks all that it takes in, so that only what
// would make the view itself reach outside is checked here.
type frame struct {
	timestamps []int64
	channels   []uint32
	keyEnds    []uint32
	headerEnds []uint32
	valueEnds  []uint32
	payload    []byte
}

func parseFrame(bytes []byte) (frame, error) {
	malformed := api.NewError(api.ErrResultUnexpected, "the host gave a malformed frame")
	if len(bytes) < frameHeader {
		return frame{}, malformed
	}
	words := unsafe.Slice((*uint32)(unsafe.Pointer(unsafe.SliceData(bytes))), frameHeader/4)
	n, payload := uint64(words[1]), uint64(words[3])
	if words[0] != frameMagic || words[2] != 0 || frameHeader+n*frameRecord+payload != uint64(len(bytes)) {
		return frame{}, malformed
	}
	count := int(n)
	if count == 0 {
		return frame{}, nil
	}
	column := func(at int) []uint32 {
		return unsafe.Slice((*uint32)(unsafe.Pointer(&bytes[frameHeader+at*count])), count)
	}
	return frame{
		timestamps: unsafe.Slice((*int64)(unsafe.Pointer(&bytes[frameHeader])), count),
		channels:   column(8),
		keyEnds:    column(16),
		headerEnds: column(20),
		valueEnds:  column(24),
		payload:    bytes[frameHeader+frameRecord*count:],
	}, nil
}

// value of a record. Appending to it never reaches the next record.
func (f *frame) value(i int) []byte {
	start, end := f.headerEnds[i], f.valueEnds[i]
	return f.payload[start:end:end]
}

// frameBuilder gathers records and writes them as a frame, in the same memory each time.
type frameBuilder struct {
	records []builtRecord
	payload []byte
	out     []byte
}

type builtRecord struct {
	timestamp int64
	channel   uint32
	end       uint32
}

func (b *frameBuilder) push(channel uint32, timestamp int64, value []byte) {
	b.payload = append(b.payload, value...)
	b.records = append(b.records, builtRecord{timestamp, channel, uint32(len(b.payload))})
}

func (b *frameBuilder) empty() bool { return len(b.records) == 0 }

// length is the size of the frame so far.
func (b *frameBuilder) length() int { return len(b.records)*frameRecord + len(b.payload) }

func (b *frameBuilder) clear() {
	b.records = b.records[:0]
	if cap(b.payload) > 4*mostEmitted {
		// A value of many megabytes has passed; that is not the rule.
		b.payload, b.out = nil, nil
	}
	b.payload = b.payload[:0]
}

func (b *frameBuilder) frame() []byte {
	n := len(b.records)
	size := frameHeader + n*frameRecord + len(b.payload)
	if cap(b.out) < size {
		b.out = make([]byte, size+size/4)
	}
	out := b.out[:size]
	words := unsafe.Slice((*uint32)(unsafe.Pointer(&out[0])), frameHeader/4)
	words[0], words[1], words[2], words[3] = frameMagic, uint32(n), 0, uint32(len(b.payload))
	column := func(at int) []uint32 {
		return unsafe.Slice((*uint32)(unsafe.Add(unsafe.Pointer(&out[0]), frameHeader+at*n)), n)
	}
	timestamps := unsafe.Slice((*int64)(unsafe.Add(unsafe.Pointer(&out[0]), frameHeader)), n)
	channels, attributes := column(8), column(12)
	keys, headers, values := column(16), column(20), column(24)
	start := uint32(0)
	for i := range b.records {
		record := &b.records[i]
		timestamps[i] = record.timestamp
		channels[i] = record.channel
		attributes[i] = 0
		keys[i], headers[i], values[i] = start, start, record.end
		start = record.end
	}
	copy(out[frameHeader+frameRecord*n:], b.payload)
	return out
}
