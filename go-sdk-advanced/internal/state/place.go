// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

// Package state implements the states of packages structures and keyed, which differ only in where they are.
//
// All of a state's keys are complex keys below one place:
//
//	                key group    key            namespace
//	structures      empty        kind           empty
//	keyed           the user's   the user's     kind, the user's
//
// The kind is one byte, so the two never meet, and neither do states of different kinds in one store.
package state

import "github.com/functionstream/function-stream/go-sdk/api"

// Kind of a state; part of its keys.
type Kind byte

// The kinds. Their bytes are in stored keys, and stay.
const (
	KindValue         Kind = 'v'
	KindList          Kind = 'l'
	KindMap           Kind = 'm'
	KindPriorityQueue Kind = 'q'
	KindAggregating   Kind = 'a'
	KindReducing      Kind = 'r'
)

// Place is where a state is: a store and the first three parts of its keys.
type Place struct {
	store api.Store
	key   api.ComplexKey
}

// Open gives the store of a name.
func Open(ctx api.Context, storeName string) (api.Store, error) {
	if ctx == nil {
		return nil, api.NewError(api.ErrRuntimeNotInitialized, "a state needs the context that the function is given")
	}
	return ctx.GetOrCreateStore(storeName)
}

// Single is the place of the one state of that kind in a store.
func Single(store api.Store, kind Kind) Place {
	return Place{store, api.ComplexKey{Key: []byte{byte(kind)}}}
}

// Keyed is the place of a state of a key and a namespace.
func Keyed(store api.Store, kind Kind, keyGroup, key, namespace []byte) Place {
	return Place{store, api.ComplexKey{
		KeyGroup:  append([]byte{}, keyGroup...),
		Key:       append([]byte{}, key...),
		Namespace: append([]byte{byte(kind)}, namespace...),
	}}
}

func (p Place) at(userKey []byte) api.ComplexKey {
	key := p.key
	key.UserKey = userKey
	return key
}

func (p Place) get(userKey []byte) ([]byte, bool, error) { return p.store.Get(p.at(userKey)) }

func (p Place) put(userKey, value []byte) error { return p.store.Put(p.at(userKey), value) }

func (p Place) delete(userKey []byte) error { return p.store.Delete(p.at(userKey)) }

func (p Place) merge(userKey, value []byte) error { return p.store.Merge(p.at(userKey), value) }

// clear removes everything below the place.
func (p Place) clear() error { return p.store.DeletePrefix(p.key) }

func (p Place) scan() (api.Iterator, error) {
	return p.store.ScanComplex(p.key.KeyGroup, p.key.Key, p.key.Namespace)
}

// visit gives each pair to the function until it says that it has enough.
func (p Place) visit(visit func(key, value []byte) (more bool, err error)) error {
	pairs, err := p.scan()
	if err != nil {
		return err
	}
	defer pairs.Close()
	for {
		key, value, ok, err := pairs.Next()
		if err != nil || !ok {
			return err
		}
		if more, err := visit(key, value); err != nil || !more {
			return err
		}
	}
}
