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
	hasKey      = 1
	nullValue   = 2
	mostName    = 1<<16 - 1
)

// frame is a view of a packed frame. The bytes come from the host, which checks all that it takes in, so that only what
// would make the view itself reach outside is checked here.
type frame struct {
	timestamps []int64
	channels   []uint32
	attributes []uint32
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
		attributes: column(12),
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

// key of a record; nil when it has none.
func (f *frame) key(i int) []byte {
	if f.attributes[i]&hasKey == 0 {
		return nil
	}
	start, end := uint32(0), f.keyEnds[i]
	if i > 0 {
		start = f.valueEnds[i-1]
	}
	return f.payload[start:end:end]
}

// null reports whether the value of a record is null.
func (f *frame) null(i int) bool { return f.attributes[i]&nullValue != 0 }

// headers of a record, decoded.
func (f *frame) headers(i int) (headers []api.Header) {
	rest := f.payload[f.keyEnds[i]:f.headerEnds[i]]
	for len(rest) > 0 {
		end := 2 + int(rest[0]) + int(rest[1])<<8
		name := string(rest[2:end])
		var value []byte
		value, rest = cut(rest[end:])
		headers = append(headers, api.Header{Name: name, Value: value})
	}
	return headers
}

// frameBuilder gathers records and writes them as a frame, in the same memory each time.
type frameBuilder struct {
	records []builtRecord
	payload []byte
	out     []byte
}

type builtRecord struct {
	timestamp                                int64
	channel, attributes, key, headers, value uint32
}

// push adds a record of a value alone.
func (b *frameBuilder) push(channel uint32, timestamp int64, value []byte) {
	start := uint32(len(b.payload))
	b.payload = append(b.payload, value...)
	b.records = append(b.records, builtRecord{timestamp, channel, 0, start, start, uint32(len(b.payload))})
}

// pushRecord adds a record. The names of its headers must have been checked, and that a null value has no bytes.
func (b *frameBuilder) pushRecord(channel uint32, record api.Record) {
	built := builtRecord{timestamp: record.Timestamp, channel: channel}
	if record.Key != nil {
		built.attributes = hasKey
		b.payload = append(b.payload, record.Key...)
	}
	if record.Null {
		built.attributes |= nullValue
	}
	built.key = uint32(len(b.payload))
	for _, header := range record.Headers {
		n := len(header.Name)
		b.payload = append(append(b.payload, byte(n), byte(n>>8)), header.Name...)
		b.payload = append(appendU32(b.payload, uint32(len(header.Value))), header.Value...)
	}
	built.headers = uint32(len(b.payload))
	b.payload = append(b.payload, record.Value...)
	built.value = uint32(len(b.payload))
	b.records = append(b.records, built)
}

func (b *frameBuilder) empty() bool { return len(b.records) == 0 }

// length is the size of the frame so far.
func (b *frameBuilder) length() int { return len(b.records)*frameRecord + len(b.payload) }

// truncate forgets all records but the first n.
func (b *frameBuilder) truncate(n int) {
	payload := uint32(0)
	if n > 0 {
		payload = b.records[n-1].value
	}
	b.records, b.payload = b.records[:n], b.payload[:payload]
}

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
	for i := range b.records {
		record := &b.records[i]
		timestamps[i] = record.timestamp
		channels[i], attributes[i] = record.channel, record.attributes
		keys[i], headers[i], values[i] = record.key, record.headers, record.value
	}
	copy(out[frameHeader+frameRecord*n:], b.payload)
	return out
}
