// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

/** What comes in and what goes out: records, outputs and timers. */

import { build, Columns, NULL, readHeaders, Rows, writeHeaders } from "./frame.js";
import { asBytes, decode, parse } from "./text.js";

/** The domain of timers that follow the function's watermark. */
export const EVENT_TIME = 0;

/** The domain of timers that follow the machine's clock. */
export const PROCESSING_TIME = 1;

/** An event that the function is given. */
export class Record {
  /** Makes a record, for tests. The value and the key are text, bytes, or null. */
  constructor(value, { key = null, headers = [], timestamp = 0, source = 0 } = {}) {
    const rows = new Rows();
    rows.push(
      timestamp,
      source,
      key === null ? null : asBytes(key, "a record's key"),
      writeHeaders(headers),
      value === null ? null : asBytes(value, "a record's value"),
    );
    this._frame = new Columns(build(rows));
    this._index = 0;
  }

  get timestamp() {
    return this._frame.timestamp(this._index);
  }

  get source() {
    return this._frame.channels[this._index];
  }

  get value() {
    return this._frame.value(this._index);
  }

  get text() {
    return decode(this._bytes());
  }

  json() {
    const { _frame: frame, _index: index } = this;
    if (frame.attributes[index] & NULL) {
      this._bytes();
    }
    return parse(frame.payload, frame.headerEnds[index], frame.valueEnds[index]);
  }

  get key() {
    // It is asked for more than once: to read state, to write it, and to emit.
    if (this._key === undefined) {
      this._key = this._frame.key(this._index);
    }
    return this._key;
  }

  get keyText() {
    const { key } = this;
    return key === null ? null : decode(key);
  }

  get headers() {
    const { keyEnds, headerEnds, payload } = this._frame;
    const [start, end] = [keyEnds[this._index], headerEnds[this._index]];
    return start === end ? [] : readHeaders(payload.subarray(start, end));
  }

  header(name) {
    return this.headers.find(([known]) => known === name)?.[1] ?? null;
  }

  _bytes() {
    const { value } = this;
    if (value === null) {
      throw new TypeError("the record's value is null");
    }
    return value;
  }
}

/** Makes a record of its place in a frame. To make an object costs by how many fields it has. */
export function FrameRecord(frame, index) {
  this._frame = frame;
  this._index = index;
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
