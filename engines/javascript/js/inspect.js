// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

/** Values as text, for the log. */

import { explain } from "functionstream/trace.js";

const MOST_DEPTH = 4;
const MOST_ENTRIES = 100;

/** Returns what console.log is given as text. */
export function format(values) {
  const rest = [...values];
  let text = "";
  if (typeof rest[0] === "string") {
    text = rest.shift().replace(/%[sdifjoOc%]/g, (sign) => {
      if (sign === "%%") {
        return "%";
      }
      if (rest.length === 0) {
        return sign;
      }
      const value = rest.shift();
      switch (sign) {
        case "%s":
          return typeof value === "string" ? value : inspect(value);
        case "%d":
          return String(typeof value === "bigint" ? value : Number(value));
        case "%i":
          return String(Number.parseInt(value, 10));
        case "%f":
          return String(Number.parseFloat(value));
        case "%j":
          return JSON.stringify(value);
        case "%c":
          return "";
        default:
          return inspect(value);
      }
    });
    if (rest.length > 0) {
      text += " ";
    }
  }
  return text + rest.map((value) => (typeof value === "string" ? value : inspect(value))).join(" ");
}

/** Returns a value as text. */
export function inspect(value, depth = 0, above = []) {
  switch (typeof value) {
    case "string":
      return quoted(value);
    case "bigint":
      return `${value}n`;
    case "symbol":
      return value.toString();
    case "function":
      return `[${/^class\b/.test(Function.prototype.toString.call(value)) ? "class" : "function"} ${value.name || "without a name"}]`;
    case "object":
      break;
    default:
      return Object.is(value, -0) ? "-0" : String(value);
  }
  if (value === null) {
    return "null";
  }
  if (above.includes(value)) {
    return "[itself]";
  }
  if (value instanceof Error) {
    return explain(value);
  }
  if (value instanceof Date) {
    return Number.isNaN(value.getTime()) ? "Invalid Date" : value.toISOString();
  }
  if (value instanceof RegExp) {
    return String(value);
  }
  const name = Object.getPrototypeOf(value)?.constructor?.name;
  if (depth >= MOST_DEPTH) {
    return `[${name ?? "Object"}]`;
  }
  const inner = (of) => inspect(of, depth + 1, [...above, value]);
  if (Array.isArray(value)) {
    return `[${few(value, inner)}]`;
  }
  if (ArrayBuffer.isView(value) && value.length !== undefined) {
    return `${name}(${value.length}) [${few(value, inner)}]`;
  }
  if (value instanceof Map) {
    return `Map(${value.size}) {${few([...value], ([key, of]) => `${inner(key)} => ${inner(of)}`)}}`;
  }
  if (value instanceof Set) {
    return `Set(${value.size}) {${few([...value], inner)}}`;
  }
  if (value instanceof Promise) {
    return "Promise {}";
  }
  const entries = few(Object.keys(value), (key) => {
    const shown = /^[A-Za-z_$][\w$]*$/.test(key) ? key : quoted(key);
    return `${shown}: ${inner(value[key])}`;
  });
  const prefix = name && name !== "Object" ? `${name} ` : "";
  return entries ? `${prefix}{${entries}}` : `${prefix}{}`;
}

function few(values, show) {
  const shown = Array.from(values.slice(0, MOST_ENTRIES), show);
  if (values.length > MOST_ENTRIES) {
    shown.push(`… ${values.length - MOST_ENTRIES} more`);
  }
  return shown.length > 0 ? ` ${shown.join(", ")} ` : "";
}

function quoted(text) {
  return `'${text.replace(/[\\']/g, "\\$&").replace(/\n/g, "\\n")}'`;
}
