// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

package impl

import "github.com/functionstream/function-stream/go-sdk/api"

// store is a handle of a store, of either world: it knows what was closed.
type store struct {
	context *contextBase
	backend Backend
	name    string
	closed  bool
}

func (s *store) check() error {
	if s.context.closed {
		return errClosed()
	}
	if s.closed {
		return api.NewError(api.ErrStoreNotFound, "the store '"+s.name+"' was closed")
	}
	return nil
}

func (s *store) PutState(key, value []byte) error {
	if err := s.check(); err != nil {
		return err
	}
	return s.backend.PutState(key, value)
}

func (s *store) GetState(key []byte) ([]byte, bool, error) {
	if err := s.check(); err != nil {
		return nil, false, err
	}
	return s.backend.GetState(key)
}

func (s *store) DeleteState(key []byte) error {
	if err := s.check(); err != nil {
		return err
	}
	return s.backend.DeleteState(key)
}

func (s *store) ListStates(startInclusive, endExclusive []byte) ([][]byte, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	return s.backend.ListStates(startInclusive, endExclusive)
}

func (s *store) Put(key api.ComplexKey, value []byte) error {
	if err := s.check(); err != nil {
		return err
	}
	return s.backend.Put(key, value)
}

func (s *store) Get(key api.ComplexKey) ([]byte, bool, error) {
	if err := s.check(); err != nil {
		return nil, false, err
	}
	return s.backend.Get(key)
}

func (s *store) Delete(key api.ComplexKey) error {
	if err := s.check(); err != nil {
		return err
	}
	return s.backend.Delete(key)
}

func (s *store) Merge(key api.ComplexKey, value []byte) error {
	if err := s.check(); err != nil {
		return err
	}
	return s.backend.Merge(key, value)
}

func (s *store) DeletePrefix(key api.ComplexKey) error {
	if err := s.check(); err != nil {
		return err
	}
	return s.backend.DeletePrefix(key)
}

func (s *store) ListComplex(keyGroup, key, namespace, startInclusive, endExclusive []byte) ([][]byte, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	return s.backend.ListComplex(keyGroup, key, namespace, startInclusive, endExclusive)
}

func (s *store) ListStatesFrom(startInclusive []byte) ([][]byte, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	return s.backend.ListStatesFrom(startInclusive)
}

func (s *store) ListComplexFrom(keyGroup, key, namespace, startInclusive []byte) ([][]byte, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	return s.backend.ListComplexFrom(keyGroup, key, namespace, startInclusive)
}

func (s *store) ScanComplex(keyGroup, key, namespace []byte) (api.Iterator, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	pairs, err := s.backend.ScanComplex(keyGroup, key, namespace)
	if err != nil {
		return nil, err
	}
	return &iterator{context: s.context, pairs: pairs}, nil
}

func (s *store) Close() error {
	s.closed = true
	return nil
}

var _ api.RangeStore = (*store)(nil)

// iterator is a handle of a scan.
type iterator struct {
	context *contextBase
	pairs   api.Iterator
	closed  bool
}

func (i *iterator) check() error {
	if i.context.closed {
		return errClosed()
	}
	if i.closed {
		return api.NewError(api.ErrStoreInternal, "the iterator was closed")
	}
	return nil
}

func (i *iterator) HasNext() (bool, error) {
	if err := i.check(); err != nil {
		return false, err
	}
	return i.pairs.HasNext()
}

func (i *iterator) Next() (key, value []byte, ok bool, err error) {
	if err := i.check(); err != nil {
		return nil, nil, false, err
	}
	return i.pairs.Next()
}

func (i *iterator) Close() error {
	if i.closed {
		return nil
	}
	i.closed = true
	return i.pairs.Close()
}
