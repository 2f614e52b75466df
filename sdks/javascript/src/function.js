// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

/** What a function is, and how it is found in a module. */

import { Output } from "./record.js";

/** The calls of a function, as they are named in classes and modules. */
const CALLS = [
  "init", "process", "onTimer", "processWatermark", "takeCheckpoint", "checkHeartbeat", "close", "exec", "custom",
];

/** A module has no function, or more than one. */
export class NotFound extends Error {}

/** Returns what makes the function of a module: the export of that name, or the one that is found. */
export function find(module, file, name = undefined) {
  if (name) {
    if (!(name in module)) {
      throw new NotFound(`'${file}' exports no '${name}'`);
    }
    return makerOf(module[name], `'${name}' of '${file}'`);
  }
  if (module.default !== undefined) {
    return makerOf(module.default, `the default export of '${file}'`);
  }
  if (typeof module.process === "function") {
    return () => handlers(module);
  }
  const classes = Object.keys(module).filter((name) => isClass(module[name]));
  if (classes.length > 1) {
    const names = classes.map((name) => `'${name}'`).join(" and ");
    throw new NotFound(
      `'${file}' exports ${classes.length} classes, ${names}: name one by the setting 'class_name', or export it by default`,
    );
  }
  if (classes.length === 0) {
    throw new NotFound(
      `'${file}' exports no function: write 'export default function (record, ctx) { … }', or export a class with 'process'`,
    );
  }
  return makerOf(module[classes[0]], `'${classes[0]}' of '${file}'`);
}

/** Returns what makes a function of a plain one, a class, or an object with the calls. */
export function makerOf(value, what = "the function") {
  if (typeof value === "function") {
    if (!isClass(value)) {
      return () => ({ process: value, object: value });
    }
    if (typeof value.prototype.process !== "function") {
      throw new NotFound(`${what} is a class without 'process'`);
    }
    return () => handlers(new value());
  }
  if (value && typeof value.process === "function") {
    return () => handlers(value);
  }
  throw new NotFound(`${what} is no function: export a function, a class with 'process', or an object with it`);
}

function isClass(value) {
  return (
    typeof value === "function" &&
    (typeof value.prototype?.process === "function" || /^class\b/.test(Function.prototype.toString.call(value)))
  );
}

/** Returns the calls that an object has. */
function handlers(object) {
  const found = { object };
  for (const name of CALLS) {
    if (typeof object[name] === "function") {
      found[name] = object[name].bind(object);
    } else if (object[name] !== undefined && name !== "process") {
      throw new NotFound(`'${name}' is no function`);
    }
  }
  return found;
}

/** Emits what a function returned, unless it is undefined or null. */
export function* emitResult(ctx, value) {
  if (typeof value === "object" && value !== null) {
    if (value instanceof Output) {
      ctx.emit(value.value, value.options);
      return;
    }
    if (typeof value.next === "function") {
      if (typeof value[Symbol.iterator] === "function") {
        for (const one of value) {
          yield* emitResult(ctx, one);
        }
        return;
      }
      if (typeof value[Symbol.asyncIterator] === "function") {
        for (;;) {
          const { done, value: one } = yield value.next();
          if (done) {
            return;
          }
          yield* emitResult(ctx, one);
        }
      }
    }
  }
  if (value !== undefined && value !== null) {
    ctx.emit(value);
  }
}
