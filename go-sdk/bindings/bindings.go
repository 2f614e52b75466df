// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

// Package bindings holds the raw bindings of the worlds in wit, by hand: see package abi for why, and for how. Its test
// compares them with the worlds.
package bindings
