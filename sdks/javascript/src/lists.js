// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

/** The writes that cross the boundary of state: { kind, key, value }, the key as binary text, the value as bytes. */

// The kinds of writes. The value of a range is the key at its end, as bytes.
export const PUT = 0;
export const DELETE = 1;
export const MERGE = 2;
export const DELETE_RANGE = 3;
