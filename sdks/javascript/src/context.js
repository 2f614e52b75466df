// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

/** What a function reaches while it is called. */

import { CachedStore } from "./cache.js";
import { BatchError, FunctionError } from "./errors.js";
import { writeHeaders } from "./frame.js";
import { checkInteger } from "./numbers.js";
import { asBytes, bytesOf, typeName } from "./text.js";
import { Store } from "./store.js";

// Bytes of emitted records after which they are passed on in the middle of a batch.
const MOST_BYTES = 1 << 20;

const NO_OPTIONS = {};

/** Emits records, opens stores, and sets timers. */
export class Context {
  constructor(host, metadata, config) {
    this._host = host;
    this.metadata = Object.freeze(metadata);
    this.config = Object.freeze(Object.fromEntries(config));
    this._outputs = metadata.outputs.length;
    this._timestamp = 0;
    this._emitted = host.rows();
    this._emittedBytes = 0;
    this._emittedBefore = 0;
    // The number of the record in process, and whether the host has something of it already.
    this._turn = 0;
    this._passedOn = false;
    // Why the host refused what was emitted. It is lost, so the instance is of no use afterwards.
    this._refused = undefined;
    this._stores = new Map();
  }

  emit(value, options = NO_OPTIONS) {
    const emitted = value === null ? null : valueOf(value);
    // One by one: in this loop an array to take apart would cost as much as all the rest.
    let output = 0;
    let key = null;
    let headers = null;
    let timestamp = this._timestamp;
    let size = 28;
    if (options !== NO_OPTIONS) {
      output = options.output ?? 0;
      if (options.key !== undefined && options.key !== null) {
        key = asBytes(options.key, "a record's key");
        size += key.length;
      }
      if (options.headers) {
        headers = writeHeaders(options.headers);
        size += headers?.length ?? 0;
      }
      if (options.timestamp !== undefined) {
        timestamp = checkInteger(options.timestamp, "a record's timestamp");
      }
    }
    if (!(output >= 0 && output < this._outputs && Number.isInteger(output))) {
      throw new FunctionError(`emitted to output ${output}, but the function has ${this._outputs}`);
    }
    size += emitted?.length ?? 0;
    if (this._emitted.length > 0 && this._emittedBytes + size > MOST_BYTES) {
      this._flushEmitted();
    }
    this._emittedBytes += size;
    this._emitted.push(timestamp, output, key, headers, emitted);
  }

  emitWatermark(watermark, output = 0) {
    checkInteger(watermark, "a watermark", false);
    // Records that were emitted before it may be older.
    this._flushEmitted();
    this._passedOn = true;
    this._host.emitWatermark(output, watermark);
  }

  setTimer(domain, key, at) {
    checkDomain(domain);
    checkInteger(at, "the time of a timer");
    this._passedOn = true;
    this._host.setTimer(domain, asBytes(key, "a timer's key"), at);
  }

  deleteTimer(domain, key) {
    checkDomain(domain);
    this._passedOn = true;
    this._host.deleteTimer(domain, asBytes(key, "a timer's key"));
  }

  store(name) {
    let store = this._stores.get(name);
    if (!store) {
      if (typeof name !== "string") {
        throw new TypeError(`the name of a store must be text, not ${typeName(name)}`);
      }
      store = new Store(new CachedStore(this, this._host.open(name)));
      this._stores.set(name, store);
    }
    return store;
  }

  /** A record begins: what is emitted for it has its time. */
  _begin(timestamp) {
    this._timestamp = timestamp;
    this._emittedBefore = this._emitted.length;
    this._passedOn = false;
    this._turn++;
  }

  /** Takes back what the record in process did, and passes on what those before it did. False if that cannot be done. */
  _undo() {
    if (this._passedOn) {
      return false;
    }
    for (const store of this._stores.values()) {
      if (!store._cached.undo()) {
        return false;
      }
    }
    this._emitted.truncate(this._emittedBefore);
    try {
      this._finish();
    } catch {
      return false;
    }
    return true;
  }

  /** A call ends: everything that it did is passed on. */
  _finish() {
    this._flushEmitted();
    for (const store of this._stores.values()) {
      store._cached.flush();
    }
  }

  _flushEmitted() {
    if (this._refused !== undefined) {
      throw new BatchError(this._refused);
    }
    if (this._emitted.length === 0) {
      return;
    }
    if (this._emitted.length > this._emittedBefore) {
      this._passedOn = true;
    }
    this._emittedBefore = 0;
    const emitted = this._emitted;
    this._emitted = this._host.rows();
    this._emittedBytes = 0;
    try {
      this._host.emit(emitted);
    } catch (error) {
      this._refused = error.message;
      throw new BatchError(error.message);
    }
  }
}

/** Returns a value as what is emitted: bytes and text as they are, anything that JSON has as its text. */
function valueOf(value) {
  if (typeof value === "string") {
    return value;
  }
  if (typeof value === "object" && Object.getPrototypeOf(value) === Object.prototype) {
    return JSON.stringify(value);
  }
  const bytes = bytesOf(value);
  if (bytes) {
    return bytes;
  }
  const text = hasJson(value) ? JSON.stringify(value) : undefined;
  if (text === undefined) {
    throw new TypeError(
      `a value cannot be emitted that is ${typeName(value)}: emit text, bytes, null, an Output, or what JSON has`,
    );
  }
  return text;
}

/** Reports whether a value has a form in JSON that says what it is. */
function hasJson(value) {
  switch (typeof value) {
    case "number":
    case "boolean":
      return true;
    case "object":
      return !(value instanceof Map || value instanceof Set || value instanceof Error || value instanceof RegExp ||
        value instanceof Promise || value instanceof WeakMap || value instanceof WeakSet);
    default:
      return false;
  }
}

function checkDomain(domain) {
  if (domain !== 0 && domain !== 1) {
    throw new TypeError("the domain of a timer is EVENT_TIME or PROCESSING_TIME");
  }
}
