// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

package impl

import "github.com/functionstream/function-stream/go-sdk/api"

// Sizes of the pages of a scan. The first is small, since many a scan wants the first pair only; each is four times the one
// before.
const (
	firstPage = 4 << 10
	mostPage  = 64 << 10
)

// cachedStore is a store of the packed world.
type cachedStore struct {
	cache *cache
	// Memory for one key at a time.
	key []byte
}

func (s *cachedStore) simple(key []byte) []byte {
	s.key = appendSimple(s.key[:0], key)
	return s.key
}

func (s *cachedStore) complex(key api.ComplexKey) []byte {
	s.key = appendComplex(s.key[:0], key)
	return s.key
}

func (s *cachedStore) get(key []byte) (value []byte, found bool, err error) {
	value, found, err = s.cache.get(key)
	if err != nil || !found {
		return nil, false, err
	}
	// The caller may do with it what it likes, so the cache's own stays behind.
	return append(make([]byte, 0, len(value)), value...), true, nil
}

func (s *cachedStore) PutState(key, value []byte) error {
	return s.cache.set(s.simple(key), value, true)
}

func (s *cachedStore) GetState(key []byte) ([]byte, bool, error) { return s.get(s.simple(key)) }

func (s *cachedStore) DeleteState(key []byte) error { return s.cache.set(s.simple(key), nil, false) }

func (s *cachedStore) ListStates(start, end []byte) ([][]byte, error) {
	return s.list([]byte{simpleKey}, start, end)
}

func (s *cachedStore) Put(key api.ComplexKey, value []byte) error {
	return s.cache.set(s.complex(key), value, true)
}

func (s *cachedStore) Get(key api.ComplexKey) ([]byte, bool, error) { return s.get(s.complex(key)) }

func (s *cachedStore) Delete(key api.ComplexKey) error {
	return s.cache.set(s.complex(key), nil, false)
}

func (s *cachedStore) Merge(key api.ComplexKey, value []byte) error {
	return s.cache.merge(s.complex(key), value)
}

func (s *cachedStore) DeletePrefix(key api.ComplexKey) error {
	prefix := s.complex(key)
	return s.cache.deleteRange(prefix, prefixEnd(prefix))
}

func (s *cachedStore) ListComplex(keyGroup, key, namespace, start, end []byte) ([][]byte, error) {
	return s.list(appendPrefix(nil, keyGroup, key, namespace), start, end)
}

func (s *cachedStore) ScanComplex(keyGroup, key, namespace []byte) (api.Iterator, error) {
	prefix := appendPrefix(nil, keyGroup, key, namespace)
	return &pages{cache: s.cache, prefix: len(prefix), next: prefix, end: prefixEnd(prefix), size: firstPage}, nil
}

func (s *cachedStore) list(prefix, start, end []byte) ([][]byte, error) {
	from := append(prefix[:len(prefix):len(prefix)], start...)
	to := append(prefix[:len(prefix):len(prefix)], end...)
	keys := [][]byte{}
	if string(from) >= string(to) {
		return keys, nil
	}
	pages := pages{cache: s.cache, prefix: len(prefix), next: from, end: to, size: mostPage}
	for {
		key, _, ok, err := pages.Next()
		if err != nil || !ok {
			return keys, err
		}
		// A key of its own does not keep the values of its page alive.
		keys = append(keys, append([]byte{}, key...))
	}
}

// pages is an iterator that reads a page at a time.
type pages struct {
	cache  *cache
	prefix int
	// Where the next page starts; nil when the last one was read.
	next, end []byte
	// How large it may be.
	size uint32
	page pairList
}

func (p *pages) HasNext() (bool, error) {
	for p.page.n == 0 && p.next != nil {
		pairs, next, err := p.cache.page(p.next, p.end, p.size)
		if err != nil {
			return false, err
		}
		p.page, p.next = readPairs(pairs), next
		p.size = min(4*p.size, mostPage)
	}
	return p.page.n > 0, nil
}

func (p *pages) Next() (key, value []byte, ok bool, err error) {
	more, err := p.HasNext()
	if err != nil || !more {
		return nil, nil, false, err
	}
	key, value = p.page.next()
	return key[p.prefix:], value, true, nil
}

func (p *pages) Close() error {
	*p = pages{}
	return nil
}
