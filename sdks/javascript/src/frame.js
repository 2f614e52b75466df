// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

/** The packed frame: many records in one buffer. Its layout is told in wit/packed/packed.wit. */

import { high, join, low } from "./numbers.js";
import { asBytes, decode, encode } from "./text.js";

const MAGIC = 0x01465346;
const HAS_KEY = 1;
export const NULL = 2;

/** A frame that was read: a column for each field of its records. */
export class Columns {
  constructor(data) {
    if (data.byteOffset % 8) {
      data = data.slice();
    }
    if (data.length < 16) {
      throw new Error("the frame is shorter than its header");
    }
    const [magic, n, flags, length] = new Uint32Array(data.buffer, data.byteOffset, 4);
    if (magic !== MAGIC || flags) {
      throw new Error("the bytes are no frame of a known version");
    }
    if (data.length !== 16 + 28 * n + length) {
      throw new Error("the frame is not as long as it says");
    }
    const column = (offset, kind = Uint32Array, size = n) => new kind(data.buffer, data.byteOffset + offset, size);
    this.n = n;
    this.lows = column(16, Uint32Array, 2 * n);
    this.highs = column(16, Int32Array, 2 * n);
    this.channels = column(16 + 8 * n);
    this.attributes = column(16 + 12 * n);
    this.keyEnds = column(16 + 16 * n);
    this.headerEnds = column(16 + 20 * n);
    this.valueEnds = column(16 + 24 * n);
    this.payload = data.subarray(16 + 28 * n);
    // For views: of QuickJS's ways to make one this is the cheapest.
    this._buffer = data.buffer;
    this._start = data.byteOffset + 16 + 28 * n;
  }

  /** Returns the key of a record, or null. */
  key(index) {
    return this.attributes[index] & HAS_KEY ? this._view(this.start(index), this.keyEnds[index]) : null;
  }

  /** Returns the value of a record, or null. */
  value(index) {
    return this.attributes[index] & NULL ? null : this._view(this.headerEnds[index], this.valueEnds[index]);
  }

  /** Returns where the key of a record begins. */
  start(index) {
    return index === 0 ? 0 : this.valueEnds[index - 1];
  }

  _view(start, end) {
    return new Uint8Array(this._buffer, this._start + start, end - start);
  }

  /** Returns the timestamp of a record. */
  timestamp(index) {
    return join(this.highs[2 * index + 1], this.lows[2 * index]);
  }
}

// Bytes of emitted records after which they are passed on in the middle of a batch.
export const MOST_BYTES = 1 << 20;

/** Records that wait to be packed, a column for each field. Keys, headers and values are bytes or null, values text, too. */
export class Rows {
  timestamps = [];
  channels = [];
  keys = [];
  headers = [];
  values = [];

  constructor(most = Infinity) {
    this._most = most;
    this._size = 0;
  }

  get length() {
    return this.timestamps.length;
  }

  /** Adds a record. Answers false, and adds nothing, if it would be too many bytes with those that are there. */
  push(timestamp, channel, key, headers, given) {
    // A caller may go on with its bytes.
    const value = typeof given === "string" ? encode(given) : (given && given.slice());
    const size = 28 + (key?.length ?? 0) + (headers?.length ?? 0) + (value?.length ?? 0);
    if (this.length > 0 && this._size + size > this._most) {
      return false;
    }
    this._size += size;
    this.timestamps.push(timestamp);
    this.channels.push(channel);
    this.keys.push(key);
    this.headers.push(headers);
    this.values.push(value);
    return true;
  }

  /** Forgets all but the first so many. */
  truncate(length) {
    for (const column of [this.timestamps, this.channels, this.keys, this.headers, this.values]) {
      column.length = length;
    }
  }
}

/** Packs rows into a frame. */
export function build(rows) {
  const { timestamps, channels, keys, headers, values, length: n } = rows;
  let size = 0;
  for (let i = 0; i < n; i++) {
    size += (keys[i]?.length ?? 0) + (headers[i]?.length ?? 0) + (values[i]?.length ?? 0);
  }
  const data = new Uint8Array(16 + 28 * n + size);
  const words = new Int32Array(data.buffer, 0, 4 + 7 * n);
  words[0] = MAGIC;
  words[1] = n;
  words[3] = size;
  let payload = 16 + 28 * n;
  const start = payload;
  for (let i = 0, time = 4, at = 4 + 2 * n; i < n; i++, time += 2, at++) {
    const timestamp = timestamps[i];
    words[time] = low(timestamp);
    words[time + 1] = high(timestamp);
    words[at] = channels[i];
    const key = keys[i];
    let attribute = 0;
    if (key !== null) {
      attribute = HAS_KEY;
      data.set(key, payload);
      payload += key.length;
    }
    words[at + 2 * n] = payload - start;
    const header = headers[i];
    if (header !== null) {
      data.set(header, payload);
      payload += header.length;
    }
    words[at + 3 * n] = payload - start;
    const value = values[i];
    if (value === null) {
      attribute |= NULL;
    } else {
      data.set(value, payload);
      payload += value.length;
    }
    words[at + 4 * n] = payload - start;
    words[at + n] = attribute;
  }
  return data;
}

/** Returns the records of a frame: objects with timestamp, channel, key or null, encoded headers, and value or null. */
export function read(data) {
  const frame = new Columns(data);
  const records = [];
  for (let i = 0, start = 0; i < frame.n; i++) {
    const [keyEnd, headerEnd, end] = [frame.keyEnds[i], frame.headerEnds[i], frame.valueEnds[i]];
    records.push({
      timestamp: frame.timestamp(i),
      channel: frame.channels[i],
      key: frame.attributes[i] & HAS_KEY ? frame.payload.slice(start, keyEnd) : null,
      headers: frame.payload.slice(keyEnd, headerEnd),
      value: frame.attributes[i] & NULL ? null : frame.payload.slice(headerEnd, end),
    });
    start = end;
  }
  return records;
}

/** Encodes headers: [name, value] pairs, or an object; null if there are none. */
export function writeHeaders(headers) {
  const pairs = [];
  let size = 0;
  for (const [name, value] of headers[Symbol.iterator] ? headers : Object.entries(headers)) {
    const pair = [encode(name), asBytes(value, "the value of a header")];
    if (pair[0].length > 0xffff) {
      throw new RangeError("a header's name has more than 65535 bytes");
    }
    size += 6 + pair[0].length + pair[1].length;
    pairs.push(pair);
  }
  if (!size) {
    return null;
  }
  const data = new Uint8Array(size);
  const view = new DataView(data.buffer);
  let at = 0;
  for (const [name, value] of pairs) {
    view.setUint16(at, name.length, true);
    data.set(name, at + 2);
    at += 2 + name.length;
    view.setUint32(at, value.length, true);
    data.set(value, at + 4);
    at += 4 + value.length;
  }
  return data;
}

/** Returns the [name, value] pairs. */
export function readHeaders(data) {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const pairs = [];
  for (let at = 0; at < data.length; ) {
    const nameEnd = at + 2 + view.getUint16(at, true);
    const end = nameEnd + 4 + view.getUint32(nameEnd, true);
    pairs.push([decode(data.subarray(at + 2, nameEnd)), data.slice(nameEnd + 4, end)]);
    at = end;
  }
  return pairs;
}
