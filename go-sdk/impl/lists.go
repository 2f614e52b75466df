// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

package impl

// The buffers of the packed world's state calls.
//
//	op list    u32 n, then n times {u8 kind, u32 length, key, u32 length, value}
//	pair list  u32 n, then n times {u32 length, key, u32 length, value}

// Kinds of writes.
const (
	OpPut         = 0
	OpDelete      = 1
	OpMerge       = 2
	OpDeleteRange = 3
)

// opList writes an op list.
type opList struct {
	bytes []byte
	n     uint32
}

func (l *opList) push(kind byte, key string, value []byte) {
	if l.n == 0 {
		l.bytes = append(l.bytes[:0], 0, 0, 0, 0)
	}
	l.n++
	l.bytes = append(l.bytes, kind)
	l.bytes = append(appendU32(l.bytes, uint32(len(key))), key...)
	l.bytes = append(appendU32(l.bytes, uint32(len(value))), value...)
}

// truncate forgets all writes but the first n, which take so many bytes.
func (l *opList) truncate(n uint32, bytes int) {
	l.n = n
	if n > 0 {
		l.bytes = l.bytes[:bytes]
	}
}

func (l *opList) encoded() []byte {
	putU32(l.bytes, l.n)
	return l.bytes
}

func (l *opList) clear() {
	l.n = 0
	if cap(l.bytes) > 4*mostWrites {
		l.bytes = nil
	}
}

// ReadOps calls visit with each write of an op list, for hosts in Go.
func ReadOps(list []byte, visit func(kind byte, key, value []byte) error) error {
	rest := list[4:]
	for n := u32(list); n > 0; n-- {
		kind := rest[0]
		var key, value []byte
		key, rest = cut(rest[1:])
		value, rest = cut(rest)
		if err := visit(kind, key, value); err != nil {
			return err
		}
	}
	return nil
}

// AppendPair adds a pair to a pair list, which begins as nil, for hosts in Go.
func AppendPair(list, key, value []byte) []byte {
	if list == nil {
		list = []byte{0, 0, 0, 0}
	}
	putU32(list, u32(list)+1)
	list = append(appendU32(list, uint32(len(key))), key...)
	return append(appendU32(list, uint32(len(value))), value...)
}

// pairList reads a pair list.
type pairList struct {
	n    uint32
	rest []byte
}

func readPairs(list []byte) pairList {
	if len(list) < 4 {
		return pairList{}
	}
	return pairList{u32(list), list[4:]}
}

func (l *pairList) next() (key, value []byte) {
	l.n--
	key, l.rest = cut(l.rest)
	value, l.rest = cut(l.rest)
	return key, value
}

// cut takes a length and as many bytes off the front.
func cut(bytes []byte) (part, rest []byte) {
	end := 4 + u32(bytes)
	return bytes[4:end:end], bytes[end:]
}

func u32(b []byte) uint32 {
	_ = b[3]
	return uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3])<<24
}

func putU32(b []byte, n uint32) {
	_ = b[3]
	b[0], b[1], b[2], b[3] = byte(n), byte(n>>8), byte(n>>16), byte(n>>24)
}

func appendU32(b []byte, n uint32) []byte {
	return append(b, byte(n), byte(n>>8), byte(n>>16), byte(n>>24))
}
