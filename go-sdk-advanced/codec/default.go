// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

package codec

import (
	"fmt"
	"reflect"
	"unsafe"
)

// DefaultCodecFor returns the codec of a type. Booleans, numbers and strings, including named ones ("type ID int64"), have the codec
// of their kind; all other types are encoded as JSON. It returns an error for functions, channels and complex numbers, which JSON
// does not have.
func DefaultCodecFor[V any]() (Codec[V], error) {
	kind := reflect.TypeFor[V]().Kind()
	switch kind {
	case reflect.Bool:
		return like[V, bool](BoolCodec{}), nil
	case reflect.Int:
		return like[V, int](IntCodec{}), nil
	case reflect.Int8:
		return like[V, int8](Int8Codec{}), nil
	case reflect.Int16:
		return like[V, int16](Int16Codec{}), nil
	case reflect.Int32:
		return like[V, int32](Int32Codec{}), nil
	case reflect.Int64:
		return like[V, int64](Int64Codec{}), nil
	case reflect.Uint:
		return like[V, uint](UintCodec{}), nil
	case reflect.Uint8:
		return like[V, uint8](Uint8Codec{}), nil
	case reflect.Uint16:
		return like[V, uint16](Uint16Codec{}), nil
	case reflect.Uint32:
		return like[V, uint32](Uint32Codec{}), nil
	case reflect.Uint64:
		return like[V, uint64](Uint64Codec{}), nil
	case reflect.Float32:
		return like[V, float32](Float32Codec{}), nil
	case reflect.Float64:
		return like[V, float64](Float64Codec{}), nil
	case reflect.String:
		return like[V, string](StringCodec{}), nil
	case reflect.Func, reflect.Chan, reflect.Complex64, reflect.Complex128, reflect.UnsafePointer:
		return nil, fmt.Errorf("there is no codec for %v", reflect.TypeFor[V]())
	default:
		return JSONCodec[V]{}, nil
	}
}

// like makes the codec of a kind one of a type of that kind.
func like[V, K any](codec Codec[K]) Codec[V] {
	if same, ok := any(codec).(Codec[V]); ok {
		return same
	}
	return named[V, K]{codec}
}

// named is the codec of a named type. The type and its kind are the same memory.
type named[V, K any] struct {
	kind Codec[K]
}

func (c named[V, K]) Encode(value V) ([]byte, error) {
	return c.kind.Encode(*(*K)(unsafe.Pointer(&value)))
}

func (c named[V, K]) Decode(data []byte) (V, error) {
	value, err := c.kind.Decode(data)
	return *(*V)(unsafe.Pointer(&value)), err
}

func (c named[V, K]) EncodedSize() int { return c.kind.EncodedSize() }

func (c named[V, K]) IsOrderedKeyCodec() bool { return c.kind.IsOrderedKeyCodec() }
