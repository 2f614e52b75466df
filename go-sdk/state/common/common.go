// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

// Package common has what state libraries on top of the SDK share.
package common

import "github.com/functionstream/function-stream/go-sdk/api"

// Store is the keyed state of a task; see api.Store.
type Store = api.Store

// DupBytes returns a copy of bytes. Nil stays nil, and empty stays empty.
func DupBytes(bytes []byte) []byte {
	if bytes == nil {
		return nil
	}
	return append([]byte{}, bytes...)
}
