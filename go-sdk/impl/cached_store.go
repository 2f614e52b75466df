// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

package impl

import "github.com/functionstream/function-stream/go-sdk/api"

// Sizes of the pages of a scan. The first is small, since many a scan wants the first pair only; each is four times the one
// before.
const (
	firstPage = 4 << 10
	mostPage  = 64 << 10
	// The first one after a write ahead of the scan: a function that writes while it scans will do so again.
	nextPage = 1 << 10
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

func (s *cachedStore) ListStatesFrom(start []byte) ([][]byte, error) {
	return s.listFrom([]byte{simpleKey}, start)
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

func (s *cachedStore) ListComplexFrom(keyGroup, key, namespace, start []byte) ([][]byte, error) {
	return s.listFrom(appendPrefix(nil, keyGroup, key, namespace), start)
}

func (s *cachedStore) ScanComplex(keyGroup, key, namespace []byte) (api.Iterator, error) {
	prefix := appendPrefix(nil, keyGroup, key, namespace)
	return &pages{cache: s.cache, prefix: len(prefix), from: prefix, end: prefixEnd(prefix), size: firstPage}, nil
}

func (s *cachedStore) list(prefix, start, end []byte) ([][]byte, error) {
	from := append(prefix[:len(prefix):len(prefix)], start...)
	to := append(prefix[:len(prefix):len(prefix)], end...)
	return s.keys(len(prefix), from, to)
}

func (s *cachedStore) listFrom(prefix, start []byte) ([][]byte, error) {
	return s.keys(len(prefix), append(prefix[:len(prefix):len(prefix)], start...), prefixEnd(prefix))
}

func (s *cachedStore) keys(prefix int, from, to []byte) ([][]byte, error) {
	keys := [][]byte{}
	if string(from) >= string(to) {
		return keys, nil
	}
	pages := pages{cache: s.cache, prefix: prefix, from: from, end: to, size: mostPage}
	for {
		key, _, ok, err := pages.Next()
		if err != nil || !ok {
			return keys, err
		}
		// A key of its own does not keep the values of its page alive.
		keys = append(keys, append([]byte{}, key...))
	}
}

// pages is an iterator that reads a page at a time. What is left of a page is read again if there was a write ahead, so that pages
// are not to be seen.
type pages struct {
	cache  *cache
	prefix int
	// from is the first key that may come next.
	from, end []byte
	// How large the next page may be.
	size uint32
	page pairList
	// read is when the page was read, and last says that nothing comes behind it.
	read        uint64
	last, ended bool
}

func (p *pages) HasNext() (bool, error) {
	if p.ended {
		return false, nil
	}
	if p.cache.stale(p.read, p.from) {
		p.page, p.last, p.size = pairList{}, false, nextPage
	}
	if p.page.n == 0 && !p.last {
		pairs, next, read, err := p.cache.page(p.from, p.end, p.size)
		if err != nil {
			return false, err
		}
		p.page, p.last, p.read = readPairs(pairs), next == nil, read
		p.size = min(4*p.size, mostPage)
	}
	p.ended = p.page.n == 0
	return !p.ended, nil
}

func (p *pages) Next() (key, value []byte, ok bool, err error) {
	more, err := p.HasNext()
	if err != nil || !more {
		return nil, nil, false, err
	}
	key, value = p.page.next()
	p.from = append(append(p.from[:0], key...), 0)
	return key[p.prefix:], value, true, nil
}

func (p *pages) Close() error {
	*p = pages{ended: true}
	return nil
}
