// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

/** Stores whose cache the engine has (src/natives/states.rs): a read or a write is one call that takes the key as it is given. */

import { BatchError, FunctionError } from "functionstream/errors.js";
import { Store } from "functionstream/store.js";
import { asBytes } from "functionstream/text.js";

let natives;

/** Takes what the engine gives. */
export function useNatives(given) {
  natives = given;
}

/** Opens the store of a name. */
export function storeOf(context, name) {
  return new EngineStore(new Cached(context, told(() => natives.open(name))));
}

/** Runs a call whose refusal is the function's own mistake, or the batch's. */
export function told(call) {
  try {
    return call();
  } catch (error) {
    throw refused(error);
  }
}

function refused(error) {
  return error.ofBatch ? new BatchError(error.message) : new FunctionError(error.message);
}

/** What all parts of a store have in common. */
class Cached {
  constructor(context, handle) {
    this.context = context;
    this.handle = handle;
  }

  deleteRange(start, end) {
    told(() => natives.deleteRange(this.handle, start, end, this.context._turn));
  }

  page(start, end, mostBytes) {
    const { pairs, next, version } = told(() => natives.page(this.handle, start, end, mostBytes));
    return [pairs, next, version];
  }

  isStale(version, start) {
    return natives.isStale(this.handle, version, start);
  }

  flush() {
    told(() => natives.flush(this.handle));
  }

  undo() {
    return natives.undo(this.handle, this.context._turn);
  }
}

/** The engine copies what it is given, and null says that it does not know how: then it is made bytes first, or found to be none. */
class EngineStore extends Store {
  get(key) {
    const { handle } = this._cached;
    let value;
    try {
      value = natives.get(handle, this._prefix, key);
    } catch (error) {
      throw refused(error);
    }
    return value === null ? this.get(asBytes(key, "a key")) : value;
  }

  put(key, value) {
    const { handle, context } = this._cached;
    let done;
    try {
      done = natives.put(handle, this._prefix, key, value, context._turn);
    } catch (error) {
      throw refused(error);
    }
    if (done === null) {
      this.put(asBytes(key, "a key"), asBytes(value, "a value"));
    }
  }

  delete(key) {
    const { handle, context } = this._cached;
    if (told(() => natives.delete(handle, this._prefix, key, context._turn)) === null) {
      this.delete(asBytes(key, "a key"));
    }
  }

  merge(key, operand) {
    const { handle, context } = this._cached;
    if (told(() => natives.merge(handle, this._prefix, key, operand, context._turn)) === null) {
      this.merge(asBytes(key, "a key"), asBytes(operand, "a value"));
    }
  }

  _set(key, value) {
    if (value === undefined) {
      this.delete(key);
    } else {
      this.put(key, value);
    }
  }
}

// What they are given and give is nobody else's.
EngineStore.prototype._get = EngineStore.prototype.get;
EngineStore.prototype._merge = EngineStore.prototype.merge;
