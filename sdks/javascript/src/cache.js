// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

/**
 * What an instance knows of one store, so that hot keys cross the boundary once, not with every record.
 *
 * A read is answered by what is known; else the host is asked, and its answer is known from then on. Writes are gathered, and go to
 * the host in one call at the end of each batch. What is known stays true as long as the instance lives: nobody else writes this
 * task's state, and when an epoch is aborted its instance is dropped.
 *
 * What a record wrote can be taken back as long as it is among the gathered writes: they are cut, writes that were replaced are put
 * back, and nothing is known any more.
 *
 * Keys are binary text (see text.js), values are bytes that nobody changes, and a key that is absent has the value undefined.
 */

import { BatchError } from "./errors.js";
import { DELETE, DELETE_RANGE, MERGE, PUT } from "./lists.js";
import { unbinary } from "./text.js";

// Bytes of writes after which they go to the host in the middle of a batch, and of what is known.
const MOST_WRITES = 1 << 20;
const MOST_KNOWN = 8 << 20;

// What a key takes beside its bytes.
const ENTRY = 100;

// A known value that is longer is forgotten when something is appended to it.
const MOST_APPENDED = 4 << 10;

const NOTHING = new Uint8Array(0);

/** A store that is open. */
export class CachedStore {
  constructor(context, handle) {
    this._context = context;
    this._host = context._host;
    this._handle = handle;
    this._known = new Map();
    this._knownBytes = 0;
    this._ops = [];
    // Where the last write of a key is, if it may be replaced there.
    this._places = new Map();
    this._bytes = 0;
    // Some of the writes are to keys that are not known: the host cannot be asked before it has them.
    this._unknownWrites = false;
    // For scans: counts writes; from `since` on the furthest key that was written is known.
    this._version = 0;
    this._since = 0;
    this._furthest = "";
    // The record that wrote last, where its writes begin, what it replaced, and whether the host has some of it.
    this._turn = 0;
    this._own = 0;
    this._ownBytes = 0;
    this._replaced = [];
    this._passedOn = false;
  }

  get(key) {
    const known = this._known.get(key);
    if (known !== undefined || this._known.has(key)) {
      return known;
    }
    if (this._unknownWrites) {
      this.flush();
    }
    const value = this._host.get(this._handle, key);
    this._learn(key, value);
    return value;
  }

  /** Puts a value, or deletes the key if that is undefined. */
  set(key, value) {
    const kept = value ?? NOTHING;
    this._changed(key);
    const op = { kind: value === undefined ? DELETE : PUT, key, value: kept };
    const place = this._places.get(key);
    if (place === undefined) {
      this._places.set(key, this._ops.length);
      this._ops.push(op);
      this._bytes += key.length + kept.length + 9;
    } else {
      const before = this._ops[place];
      if (place < this._own) {
        this._replaced.push([place, before]);
      }
      this._ops[place] = op;
      this._bytes += kept.length - before.value.length;
    }
    this._learn(key, value);
    this._flushIfMany();
  }

  merge(key, operand) {
    this._changed(key);
    this._places.delete(key);
    this._ops.push({ kind: MERGE, key, value: operand });
    this._bytes += key.length + operand.length + 9;
    const value = this._known.get(key);
    if (value === undefined && !this._known.has(key)) {
      this._unknownWrites = true;
    } else if (value !== undefined && value.length > MOST_APPENDED) {
      this._forget(key);
      this._unknownWrites = true;
    } else {
      this._learn(key, value === undefined ? operand : joined(value, operand));
    }
    this._flushIfMany();
  }

  deleteRange(start, end) {
    this._changed(end);
    this._places.clear();
    this._ops.push({ kind: DELETE_RANGE, key: start, value: unbinary(end) });
    this._bytes += start.length + end.length + 9;
    this._forgetAll();
    this._unknownWrites = true;
    this._flushIfMany();
  }

  /** Returns a page of a range, own writes included: its pairs, the start of the next, and the version for isStale. */
  page(start, end, mostBytes) {
    this.flush();
    const [pairs, following] = this._host.scan(this._handle, start, end, mostBytes);
    if (this._since !== this._version) {
      this._since = this._version;
      this._furthest = "";
    }
    return [pairs, following, this._version];
  }

  /** Reports whether a page that was read then may not be true any more for the keys from `start` on. */
  isStale(version, start) {
    return version !== this._version && (version < this._since || this._furthest >= start);
  }

  /** Passes all writes to the host. */
  flush() {
    if (this._ops.length === 0) {
      return;
    }
    if (this._turn === this._context._turn && (this._ops.length > this._own || this._replaced.length > 0)) {
      this._passedOn = true;
    }
    const ops = this._ops;
    this._clearWrites();
    try {
      this._host.write(this._handle, ops);
    } catch (error) {
      throw new BatchError(error.message);
    }
  }

  /** Takes back what the record in process has written; returns false if the host has some of it. */
  undo() {
    if (this._turn !== this._context._turn) {
      return true;
    }
    if (this._passedOn) {
      return false;
    }
    if (this._ops.length > this._own || this._replaced.length > 0) {
      this._ops.length = this._own;
      // A write may have been replaced more than once: the oldest comes last.
      for (const [place, op] of this._replaced.reverse()) {
        this._ops[place] = op;
      }
      this._replaced = [];
      this._bytes = this._ownBytes;
      this._places.clear();
      this._forgetAll();
      this._unknownWrites = true;
    }
    return true;
  }

  _flushIfMany() {
    if (this._bytes > MOST_WRITES) {
      this.flush();
    }
  }

  _clearWrites() {
    this._ops = [];
    this._places.clear();
    this._bytes = 0;
    this._own = 0;
    this._ownBytes = 0;
    this._replaced = [];
    this._unknownWrites = false;
  }

  _changed(key) {
    const turn = this._context._turn;
    if (this._turn !== turn) {
      this._turn = turn;
      this._own = this._ops.length;
      this._ownBytes = this._bytes;
      this._replaced = [];
      this._passedOn = false;
    }
    this._version++;
    if (key > this._furthest) {
      this._furthest = key;
    }
  }

  _learn(key, value) {
    const before = this._known.get(key);
    if (before === undefined && !this._known.has(key)) {
      this._knownBytes += key.length + ENTRY;
    } else {
      this._knownBytes -= before?.length ?? 0;
    }
    this._knownBytes += value?.length ?? 0;
    this._known.set(key, value);
    if (this._knownBytes > MOST_KNOWN) {
      this._forgetSome();
    }
  }

  /** What was learnt first goes first. */
  _forgetSome() {
    let rest = this._known.size >> 1;
    for (const old of this._known.keys()) {
      if (rest-- <= 0) {
        break;
      }
      this._forget(old);
      // Its write may still be on its way to the host.
      this._unknownWrites ||= this._ops.length > 0;
    }
    if (this._knownBytes > MOST_KNOWN) {
      this._forgetAll();
      this._unknownWrites = this._ops.length > 0;
    }
  }

  _forget(key) {
    const value = this._known.get(key);
    this._known.delete(key);
    this._knownBytes -= key.length + ENTRY + (value?.length ?? 0);
  }

  _forgetAll() {
    this._known.clear();
    this._knownBytes = 0;
  }
}

function joined(one, other) {
  const both = new Uint8Array(one.length + other.length);
  both.set(one);
  both.set(other, one.length);
  return both;
}

