// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

// Package common has what state libraries on top of the SDK share.
package common

import "github.com/functionstream/function-stream/go-sdk/api"

// Store is keyed state; see api.Store.
type Store = api.Store

// DupBytes is a copy of the bytes; nil stays nil, and empty stays empty.
func DupBytes(bytes []byte) []byte {
	if bytes == nil {
		return nil
	}
	return append([]byte{}, bytes...)
}
