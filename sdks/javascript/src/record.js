// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

/** What comes in and what goes out: records, outputs and timers. */

import { HAS_KEY, NULL, readHeaders, writeHeaders } from "./frame.js";
import { asBytes, decode, parse } from "./text.js";

/** The domain of timers that follow the function's watermark. */
export const EVENT_TIME = 0;

/** The domain of timers that follow the machine's clock. */
export const PROCESSING_TIME = 1;

const NOTHING = new Uint8Array(0);

/** An event that the function is given. */
export class Record {
  /** Makes a record, for tests. The value and the key are text, bytes, or null. */
  constructor(value, { key = null, headers = [], timestamp = 0, source = 0 } = {}) {
    const [first, middle, last] = [
      key === null ? NOTHING : asBytes(key, "a record's key"),
      writeHeaders(headers) ?? NOTHING,
      value === null ? NOTHING : asBytes(value, "a record's value"),
    ];
    this.timestamp = timestamp;
    this.source = source;
    this._attributes = (key === null ? 0 : HAS_KEY) | (value === null ? NULL : 0);
    this._start = 0;
    this._keyEnd = first.length;
    this._headerEnd = this._keyEnd + middle.length;
    this._end = this._headerEnd + last.length;
    this._payload = new Uint8Array(this._end);
    this._payload.set(first, 0);
    this._payload.set(middle, this._keyEnd);
    this._payload.set(last, this._headerEnd);
  }

  get value() {
    return this._attributes & NULL ? null : this._payload.subarray(this._headerEnd, this._end);
  }

  get text() {
    return decode(this._bytes());
  }

  json() {
    if (this._attributes & NULL) {
      this._bytes();
    }
    return parse(this._payload, this._headerEnd, this._end);
  }

  get key() {
    return this._attributes & HAS_KEY ? this._payload.subarray(this._start, this._keyEnd) : null;
  }

  get keyText() {
    const key = this.key;
    return key === null ? null : decode(key);
  }

  get headers() {
    return this._keyEnd === this._headerEnd ? [] : readHeaders(this._payload.subarray(this._keyEnd, this._headerEnd));
  }

  header(name) {
    return this.headers.find(([known]) => known === name)?.[1] ?? null;
  }

  _bytes() {
    const value = this.value;
    if (value === null) {
      throw new TypeError("the record's value is null");
    }
    return value;
  }
}

/** Makes a record of its place in a frame. */
export function FrameRecord(payload, attributes, timestamp, source, start, keyEnd, headerEnd, end) {
  this.timestamp = timestamp;
  this.source = source;
  this._attributes = attributes;
  this._start = start;
  this._keyEnd = keyEnd;
  this._headerEnd = headerEnd;
  this._end = end;
  this._payload = payload;
}
FrameRecord.prototype = Record.prototype;

/** A record to emit, for functions that return more than a value. */
export class Output {
  constructor(value, options = {}) {
    this.value = value;
    this.options = options;
  }
}

/** A timer that is due: its domain, its key, and the time for which it was set. */
export class Timer {
  constructor(domain, key, at) {
    this.domain = domain;
    this.key = key;
    this.at = at;
  }

  get keyText() {
    return decode(this.key);
  }
}
