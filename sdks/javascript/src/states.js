// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

/** Typed states. What there is, and what it does, is told in states.d.ts. */

import { codecOf } from "./codecs.js";
import { asBinary, unbinary } from "./text.js";

/** A state at its place, a part of a store. */
class State {
  constructor(ctx, store, ...types) {
    this._at(ctx.store(store).part("", this.constructor._kind, ""), types);
  }

  static keyed(ctx, store, ...rest) {
    const group = rest.length > this._types ? (rest.pop()?.group ?? "") : "";
    return keyed(this, ctx.store(store), group, rest);
  }

  _at(place, types) {
    this._place = place;
    this._made(...types);
    return this;
  }

  clear() {
    this._remove();
  }

  // The one value of states that have one.
  _load() {
    return this._place._get("");
  }

  _save(data) {
    this._place._set("", data);
  }

  _remove() {
    this._place._set("", undefined);
  }
}

/** Returns a factory: called with a key, and a namespace if need be, it gives the state of these. */
function keyed(State, store, group, types) {
  // Whatever is wrong with the types is said now. All that a state has of its own is its place.
  const shared = Object.create(State.prototype)._at(store, types);
  return (key, namespace = "") => {
    const state = Object.create(shared);
    const kind = namespace === "" ? State._kind : unbinary(State._kind + asBinary(namespace, "a namespace"));
    state._place = store.part(group, key, kind);
    return state;
  };
}

export class ValueState extends State {
  static _kind = "v";
  static _types = 1;

  _made(type) {
    this._codec = codecOf(type);
  }

  get() {
    const data = this._load();
    return data && this._codec.decode(data);
  }

  set(value) {
    this._save(this._codec.encode(value));
  }
}

export class ListState extends State {
  static _kind = "l";
  static _types = 1;

  _made(type) {
    this._codec = codecOf(type);
    this._size = this._codec.size || null;
  }

  add(...values) {
    const data = this._encode(values);
    if (data.length > 0) {
      this._place._merge("", data);
    }
  }

  get() {
    const data = this._load() ?? new Uint8Array(0);
    const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
    const values = [];
    for (let at = 0; at < data.length; ) {
      let size = this._size;
      if (size === null) {
        size = at + 4 <= data.length ? view.getUint32(at) : data.length;
        at += 4;
      }
      if (at + size > data.length) {
        throw new RangeError("the stored bytes are no list of these elements");
      }
      values.push(this._codec.decode(data.subarray(at, at + size)));
      at += size;
    }
    return values;
  }

  set(values) {
    const data = this._encode(values);
    if (data.length > 0) {
      this._save(data);
    } else {
      this._remove();
    }
  }

  _encode(values) {
    const parts = [];
    let size = 0;
    for (const value of values) {
      const part = this._codec.encode(value);
      if (this._size !== null && part.length !== this._size) {
        throw new RangeError(`an element has ${part.length} bytes, not ${this._size}`);
      }
      parts.push(part);
      size += part.length + (this._size === null ? 4 : 0);
    }
    const data = new Uint8Array(size);
    const view = new DataView(data.buffer);
    let at = 0;
    for (const part of parts) {
      if (this._size === null) {
        view.setUint32(at, part.length);
        at += 4;
      }
      data.set(part, at);
      at += part.length;
    }
    return data;
  }
}

export class MapState extends State {
  static _kind = "m";
  static _types = 2;

  _made(keyType, valueType) {
    this._keys = codecOf(keyType);
    this._values = codecOf(valueType);
  }

  get(key) {
    const data = this._place._get(this._keys.encode(key));
    return data && this._values.decode(data);
  }

  put(key, value) {
    this._place._set(this._keys.encode(key), this._values.encode(value));
  }

  has(key) {
    return this._place._get(this._keys.encode(key)) !== undefined;
  }

  delete(key) {
    this._place._set(this._keys.encode(key), undefined);
  }

  *entries() {
    for (const [key, value] of this._place.scan()) {
      yield [this._keys.decode(key), this._values.decode(value)];
    }
  }

  *keys() {
    for (const key of this._place.keys()) {
      yield this._keys.decode(key);
    }
  }

  [Symbol.iterator]() {
    return this.entries();
  }

  clear() {
    this._place.deletePrefix("");
  }
}

export class PriorityQueueState extends State {
  static _kind = "q";
  static _types = 1;

  _made(type) {
    this._codec = codecOf(type);
    if (!this._codec.ordered) {
      throw new TypeError(`a priority queue needs a codec with an order, which '${this._codec.name ?? "this one"}' has not`);
    }
  }

  add(value) {
    this._place._set(this._codec.encode(value), new Uint8Array(0));
  }

  peek() {
    for (const value of this) {
      return value;
    }
    return undefined;
  }

  poll() {
    for (const key of this._place.keys()) {
      this._place.delete(key);
      return this._codec.decode(key);
    }
    return undefined;
  }

  *[Symbol.iterator]() {
    for (const key of this._place.keys()) {
      yield this._codec.decode(key);
    }
  }

  clear() {
    this._place.deletePrefix("");
  }
}

export class AggregatingState extends State {
  static _kind = "a";
  static _types = 2;

  _made(type, aggregate) {
    if (typeof aggregate?.create !== "function" || typeof aggregate?.add !== "function") {
      throw new TypeError("an aggregating state needs its aggregate, an object with 'create' and 'add'");
    }
    this._codec = codecOf(type);
    this._aggregate = aggregate;
  }

  add(value) {
    const data = this._load();
    const accumulator = data ? this._codec.decode(data) : this._aggregate.create();
    this._save(this._codec.encode(this._aggregate.add(value, accumulator)));
  }

  get() {
    const data = this._load();
    if (!data) {
      return undefined;
    }
    const accumulator = this._codec.decode(data);
    return this._aggregate.result ? this._aggregate.result(accumulator) : accumulator;
  }

  merge(other) {
    const theirs = other._load();
    if (!theirs) {
      return;
    }
    const ours = this._load();
    if (!ours) {
      this._save(theirs);
      return;
    }
    if (typeof this._aggregate.merge !== "function") {
      throw new TypeError("the aggregate does not define 'merge'");
    }
    const merged = this._aggregate.merge(this._codec.decode(ours), other._codec.decode(theirs));
    this._save(this._codec.encode(merged));
  }
}

export class ReducingState extends State {
  static _kind = "r";
  static _types = 2;

  _made(type, reduce) {
    if (typeof reduce !== "function") {
      throw new TypeError("a reducing state needs its function");
    }
    this._codec = codecOf(type);
    this._reduce = reduce;
  }

  add(value) {
    const data = this._load();
    const reduced = data ? this._reduce(this._codec.decode(data), value) : value;
    this._save(this._codec.encode(reduced));
  }

  get() {
    const data = this._load();
    return data && this._codec.decode(data);
  }
}
