// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

/** The global function structuredClone. */

/** Returns a copy of a value, with all that is in it. */
export function clone(value) {
  return copy(value, new Map());
}

function copy(value, seen) {
  if (typeof value === "function" || typeof value === "symbol") {
    throw refused(value);
  }
  if (typeof value !== "object" || value === null) {
    return value;
  }
  if (seen.has(value)) {
    return seen.get(value);
  }
  const keep = (made) => {
    seen.set(value, made);
    return made;
  };
  const kind = Object.prototype.toString.call(value).slice(8, -1);
  if (ArrayBuffer.isView(value)) {
    const buffer = copy(value.buffer, seen);
    return keep(new value.constructor(buffer, value.byteOffset, value.length ?? value.byteLength));
  }
  switch (kind) {
    case "Date":
      return keep(new Date(value.getTime()));
    case "RegExp":
      return keep(new RegExp(value.source, value.flags));
    case "Boolean":
    case "Number":
    case "String":
    case "BigInt":
      return keep(Object(value.valueOf()));
    case "ArrayBuffer":
      return keep(value.slice(0));
    case "Map": {
      const made = keep(new Map());
      value.forEach((of, key) => made.set(copy(key, seen), copy(of, seen)));
      return made;
    }
    case "Set": {
      const made = keep(new Set());
      value.forEach((of) => made.add(copy(of, seen)));
      return made;
    }
    case "Error": {
      const known = { EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError }[value.name] ?? Error;
      const made = keep(new known(value.message));
      made.stack = value.stack;
      if ("cause" in value) {
        made.cause = copy(value.cause, seen);
      }
      return made;
    }
    case "WeakMap":
    case "WeakSet":
    case "WeakRef":
    case "Promise":
      throw refused(value);
    default: {
      const made = keep(Array.isArray(value) ? new Array(value.length) : {});
      for (const key of Object.keys(value)) {
        made[key] = copy(value[key], seen);
      }
      return made;
    }
  }
}

function refused(value) {
  const error = new Error(`a ${typeof value === "object" ? value.constructor?.name : typeof value} cannot be cloned`);
  error.name = "DataCloneError";
  return error;
}
