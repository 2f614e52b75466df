// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

package impl

import "github.com/functionstream/function-stream/go-sdk/api"

// First bytes of the two forms of keys.
const (
	simpleKey  = 0
	complexKey = 1
)

// SimpleKey returns a simple key in the host's form, for hosts in Go.
func SimpleKey(key []byte) []byte { return appendSimple(nil, key) }

// ComplexKey returns a complex key in the host's form, for hosts in Go.
func ComplexKey(key api.ComplexKey) []byte { return appendComplex(nil, key) }

func appendSimple(out, key []byte) []byte {
	return append(append(out, simpleKey), key...)
}

func appendComplex(out []byte, key api.ComplexKey) []byte {
	return append(appendPrefix(out, key.KeyGroup, key.Key, key.Namespace), key.UserKey...)
}

// appendPrefix is what the complex keys of three parts begin with.
func appendPrefix(out, keyGroup, key, namespace []byte) []byte {
	out = append(out, complexKey)
	out = appendPart(out, keyGroup)
	out = appendPart(out, key)
	return appendPart(out, namespace)
}

func appendPart(out, part []byte) []byte {
	n := uint32(len(part))
	out = append(out, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	return append(out, part...)
}

// prefixEnd is the first key after all that begin with prefix. There is one, since the first byte of a key is never 0xFF.
func prefixEnd(prefix []byte) []byte {
	last := len(prefix) - 1
	for last > 0 && prefix[last] == 0xFF {
		last--
	}
	end := append([]byte{}, prefix[:last+1]...)
	end[last]++
	return end
}
