// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

package impl

import (
	"unicode/utf8"

	"github.com/functionstream/function-stream/go-sdk/api"
)

// mostStoreName is the longest name of a store, in bytes.
const mostStoreName = 255

// contextBase is what the contexts of both worlds have in common.
type contextBase struct {
	config map[string]string
	closed bool
	stores map[string]Backend
}

func (c *contextBase) shut() { c.closed = true }

// Config returns a copy, so a driver that changes it changes only its own.
func (c *contextBase) Config() map[string]string {
	config := make(map[string]string, len(c.config))
	for key, value := range c.config {
		config[key] = value
	}
	return config
}

// Close closes the context.
func (c *contextBase) Close() error {
	c.closed = true
	return nil
}

// open gives a handle of the store of that name, which is opened at its first use.
func (c *contextBase) open(name string, open func() (Backend, error)) (*store, error) {
	if c.closed {
		return nil, errClosed()
	}
	if len(name) == 0 || len(name) > mostStoreName || !utf8.ValidString(name) {
		return nil, api.NewError(api.ErrStoreInvalidName, "the name of a store is 1 to 255 bytes of utf-8")
	}
	backend, known := c.stores[name]
	if !known {
		var err error
		if backend, err = open(); err != nil {
			return nil, err
		}
		if c.stores == nil {
			c.stores = make(map[string]Backend)
		}
		c.stores[name] = backend
	}
	return &store{context: c, backend: backend, name: name}, nil
}
