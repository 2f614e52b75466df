// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

/** The keyed state of a task. */

import { asBinary, asBytes, decode, unbinary } from "./text.js";

const PAGE = 64 << 10;
// The first page after a write ahead of the scan is smaller: a function that writes while it scans will do so again.
const FIRST_PAGE = 1 << 10;

/** Returns the first key after all that begin with the prefix. There is one: the first byte of every key is 0 or 1. */
function endOf(prefix) {
  let last = prefix.length - 1;
  while (prefix.charCodeAt(last) === 0xff) {
    last--;
  }
  return prefix.slice(0, last) + String.fromCharCode(prefix.charCodeAt(last) + 1);
}

function length(part) {
  const n = part.length;
  return String.fromCharCode(n >>> 24, (n >>> 16) & 0xff, (n >>> 8) & 0xff, n & 0xff);
}

/** Returns bytes that the caller does not change later. */
function ownBytes(value) {
  const bytes = asBytes(value, "a value");
  return typeof value === "string" ? bytes : bytes.slice();
}

/**
 * An ordered map from bytes to bytes, or a part of one. Keys and values may be given as text, which is kept in UTF-8.
 *
 * Writes become durable together with the records that caused them, and a function reads its own writes. An absent key (undefined)
 * is not the same as an empty value.
 */
export class Store {
  constructor(cached, prefix = "\0") {
    this._cached = cached;
    this._prefix = prefix;
  }

  part(keyGroup, key, namespace) {
    let prefix = "\u0001";
    for (const given of [keyGroup, key, namespace]) {
      const part = asBinary(given, "a part of a key");
      prefix += length(part) + part;
    }
    return new this.constructor(this._cached, prefix);
  }

  get(key) {
    return this._get(key)?.slice();
  }

  getText(key) {
    const value = this._get(key);
    return value && decode(value);
  }

  put(key, value) {
    this._set(key, ownBytes(value));
  }

  delete(key) {
    this._set(key, undefined);
  }

  merge(key, operand) {
    this._merge(key, ownBytes(operand));
  }

  deleteRange(start, end) {
    this._cached.deleteRange(this._key(start), end === undefined ? endOf(this._prefix) : this._key(end));
  }

  deletePrefix(prefix) {
    const start = this._key(prefix);
    this._cached.deleteRange(start, endOf(start));
  }

  *scan(from = "", to = undefined) {
    for (const [key, value] of this._pairs(from, to)) {
      yield [unbinary(key), value];
    }
  }

  *keys(from = "", to = undefined) {
    for (const [key] of this._pairs(from, to)) {
      yield unbinary(key);
    }
  }

  // The same for the states of states.js, with bytes that nobody changes.
  _get(key) {
    return this._cached.get(this._key(key));
  }

  _set(key, value) {
    this._cached.set(this._key(key), value);
  }

  _merge(key, operand) {
    this._cached.merge(this._key(key), operand);
  }

  _key(key) {
    return this._prefix + asBinary(key, "a key");
  }

  /** Yields the pairs with keys as binary text, a page at a time. A page that a write made untrue is read again. */
  *_pairs(from, to) {
    const cached = this._cached;
    const skipped = this._prefix.length;
    const end = to === undefined ? endOf(this._prefix) : this._key(to);
    let start = this._key(from);
    let [page, at, following, version, size] = [[], 0, start, 0, PAGE];
    for (;;) {
      if (cached.isStale(version, start)) {
        [page, at, following, size] = [[], 0, start, FIRST_PAGE];
      }
      if (at === page.length) {
        if (following === undefined) {
          return;
        }
        [page, following, version] = cached.page(start, end, size);
        [at, size] = [0, Math.min(4 * size, PAGE)];
        if (page.length === 0) {
          continue;
        }
      }
      const [key, value] = page[at++];
      start = key + "\0";
      yield [key.slice(skipped), value];
    }
  }
}
