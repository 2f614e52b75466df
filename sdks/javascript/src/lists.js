// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

/**
 * The lists that cross the boundary of state. Writes are { kind, key, value }, the key as binary text, the value as bytes; pairs come
 * as they are laid out in wit/packed/packed.wit.
 */

import { binary } from "./text.js";

// The kinds of writes. The value of a range is the key at its end, as bytes.
export const PUT = 0;
export const DELETE = 1;
export const MERGE = 2;
export const DELETE_RANGE = 3;

/** Returns the [key, value] pairs of a pair list: the keys as binary text, the values as bytes. */
export function readPairs(data) {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const pairs = [];
  let at = 4;
  for (let n = view.getUint32(0, true); n > 0; n--) {
    const keyEnd = at + 4 + view.getUint32(at, true);
    const end = keyEnd + 4 + view.getUint32(keyEnd, true);
    pairs.push([binary(data.subarray(at + 4, keyEnd)), data.slice(keyEnd + 4, end)]);
    at = end;
  }
  return pairs;
}
