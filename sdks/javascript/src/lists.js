// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

/** The lists that cross the boundary of state: writes, and pairs. Their layout is told in wit/packed/packed.wit. */

import { binary, unbinary } from "./text.js";

export const PUT = 0;
export const DELETE = 1;
export const MERGE = 2;
export const DELETE_RANGE = 3;

/** Encodes writes, each { kind, key, value }: the key as binary text, the value as bytes. */
export function writeOps(ops) {
  let size = 4;
  for (const op of ops) {
    size += 9 + op.key.length + op.value.length;
  }
  const data = new Uint8Array(size);
  const view = new DataView(data.buffer);
  view.setUint32(0, ops.length, true);
  let at = 4;
  for (const { kind, key, value } of ops) {
    data[at] = kind;
    view.setUint32(at + 1, key.length, true);
    data.set(unbinary(key), at + 5);
    at += 5 + key.length;
    view.setUint32(at, value.length, true);
    data.set(value, at + 4);
    at += 4 + value.length;
  }
  return data;
}

/** Returns the writes. */
export function readOps(data) {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const ops = [];
  let at = 4;
  for (let n = view.getUint32(0, true); n > 0; n--) {
    const kind = data[at];
    const keyEnd = at + 5 + view.getUint32(at + 1, true);
    const end = keyEnd + 4 + view.getUint32(keyEnd, true);
    ops.push({ kind, key: binary(data.subarray(at + 5, keyEnd)), value: data.slice(keyEnd + 4, end) });
    at = end;
  }
  return ops;
}

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
