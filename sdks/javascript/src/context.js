// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

/** What a function reaches while it is called. */

import { BatchError, FunctionError } from "./errors.js";
import { writeHeaders } from "./frame.js";
import { checkInteger } from "./numbers.js";
import { asBytes, bytesOf, isBytes, typeName } from "./text.js";

const NO_OPTIONS = {};

/** Emits records, opens stores, and sets timers. */
export class Context {
  constructor(host, metadata, config) {
    this._host = host;
    this.metadata = Object.freeze(metadata);
    this.config = Object.freeze(Object.fromEntries(config));
    this._outputs = metadata.outputs.length;
    this._timestamp = 0;
    // What was emitted, how many records that is, and how many there were before the one in process.
    this._emitted = host.rows();
    this._emittedCount = 0;
    this._emittedBefore = 0;
    // The number of the record in process, and that of the one of which the host has something already.
    this._turn = 0;
    this._passedOn = undefined;
    // Why the host refused what was emitted. It is lost, so the instance is of no use afterwards.
    this._refused = undefined;
    this._stores = new Map();
  }

  emit(value, options = NO_OPTIONS) {
    const emitted = value === null || typeof value === "string" || isBytes(value) ? value : valueOf(value);
    // One by one: in this loop an array to take apart would cost as much as all the rest.
    let output = 0;
    let key = null;
    let headers = null;
    let timestamp = this._timestamp;
    if (options !== NO_OPTIONS) {
      output = options.output ?? 0;
      key = options.key ?? null;
      if (key !== null && !isBytes(key)) {
        key = asBytes(key, "a record's key");
      }
      if (options.headers) {
        headers = writeHeaders(options.headers);
      }
      if (options.timestamp !== undefined) {
        timestamp = checkInteger(options.timestamp, "a record's timestamp");
      }
    }
    if ((output !== 0 || this._outputs === 0) && !(output >= 0 && output < this._outputs && Number.isInteger(output))) {
      throw new FunctionError(`emitted to output ${output}, but the function has ${this._outputs}`);
    }
    if (!this._emitted.push(timestamp, output, key, headers, emitted)) {
      this._flushEmitted();
      this._emitted.push(timestamp, output, key, headers, emitted);
    }
    this._emittedCount++;
  }

  emitWatermark(watermark, output = 0) {
    checkInteger(watermark, "a watermark", false);
    // Records that were emitted before it may be older.
    this._flushEmitted();
    this._passedOn = this._turn;
    this._host.emitWatermark(output, watermark);
  }

  setTimer(domain, key, at) {
    checkDomain(domain);
    checkInteger(at, "the time of a timer");
    this._passedOn = this._turn;
    this._host.setTimer(domain, asBytes(key, "a timer's key"), at);
  }

  deleteTimer(domain, key) {
    checkDomain(domain);
    this._passedOn = this._turn;
    this._host.deleteTimer(domain, asBytes(key, "a timer's key"));
  }

  store(name) {
    let store = this._stores.get(name);
    if (!store) {
      if (typeof name !== "string") {
        throw new TypeError(`the name of a store must be text, not ${typeName(name)}`);
      }
      store = this._host.store(this, name);
      this._stores.set(name, store);
    }
    return store;
  }

  /** A record begins: what is emitted for it has its time. */
  _begin(timestamp) {
    this._timestamp = timestamp;
    this._emittedBefore = this._emittedCount;
    this._turn++;
  }

  /** Takes back what the record in process did, and passes on what those before it did. False if that cannot be done. */
  _undo() {
    if (this._passedOn === this._turn) {
      return false;
    }
    for (const store of this._stores.values()) {
      if (!store._cached.undo()) {
        return false;
      }
    }
    this._emitted.truncate(this._emittedBefore);
    this._emittedCount = this._emittedBefore;
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
    if (this._emittedCount === 0) {
      return;
    }
    if (this._emittedCount > this._emittedBefore) {
      this._passedOn = this._turn;
    }
    this._emittedBefore = 0;
    const emitted = this._emitted;
    this._emitted = this._host.rows();
    this._emittedCount = 0;
    try {
      this._host.emit(emitted);
    } catch (error) {
      this._refused = error.message;
      throw new BatchError(error.message);
    }
  }
}

/** Returns what is emitted for a value that is no text and no Uint8Array: other bytes as such, anything that JSON has as its text. */
function valueOf(value) {
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
