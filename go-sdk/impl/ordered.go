// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

package impl

import "github.com/functionstream/function-stream/go-sdk/api"

// orderedStore is a handle of a store of the packed world, which knows ranges.
type orderedStore struct {
	*store
	cached *cachedStore
}

var _ api.OrderedStore = (*orderedStore)(nil)

func (s *orderedStore) ScanStates(start, end []byte) (api.Iterator, error) {
	return s.scan([]byte{simpleKey}, start, end)
}

func (s *orderedStore) ScanRange(keyGroup, key, namespace, start, end []byte) (api.Iterator, error) {
	return s.scan(appendPrefix(nil, keyGroup, key, namespace), start, end)
}

func (s *orderedStore) DeleteStates(start, end []byte) error {
	return s.delete([]byte{simpleKey}, start, end)
}

func (s *orderedStore) DeleteRange(keyGroup, key, namespace, start, end []byte) error {
	return s.delete(appendPrefix(nil, keyGroup, key, namespace), start, end)
}

func (s *orderedStore) MergeState(key, value []byte) error {
	if err := s.check(); err != nil {
		return err
	}
	return s.cached.cache.merge(s.cached.simple(key), value)
}

func (s *orderedStore) scan(prefix, start, end []byte) (api.Iterator, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	from, to := span(prefix, start, end)
	found := &pages{cache: s.cached.cache, prefix: len(prefix), from: from, end: to, size: firstPage, ended: string(from) >= string(to)}
	return &iterator{context: s.context, pairs: found}, nil
}

func (s *orderedStore) delete(prefix, start, end []byte) error {
	if err := s.check(); err != nil {
		return err
	}
	from, to := span(prefix, start, end)
	if string(from) >= string(to) {
		return nil
	}
	return s.cached.cache.deleteRange(from, to)
}

// span gives the host's form of a range of the keys that begin with prefix.
func span(prefix, start, end []byte) (from, to []byte) {
	from = append(append([]byte{}, prefix...), start...)
	if end == nil {
		return from, prefixEnd(prefix)
	}
	return from, append(append([]byte{}, prefix...), end...)
}
