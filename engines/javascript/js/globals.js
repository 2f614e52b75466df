// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

/** What every program expects to be there, and the language itself does not have. */

import { bytesOf } from "functionstream/text.js";
import { clone } from "./clone.js";
import { format } from "./inspect.js";

/** Puts it there. */
export function install(natives) {
  define({
    console: consoleOf(natives.print),
    TextEncoder: encoderOf(natives.encode),
    TextDecoder: decoderOf(natives),
    structuredClone: clone,
    queueMicrotask: (job) => {
      Promise.resolve().then(job);
    },
    crypto: cryptoOf(natives.random),
  });
}

function define(values) {
  for (const [name, value] of Object.entries(values)) {
    Object.defineProperty(globalThis, name, { value, writable: true, configurable: true, enumerable: false });
  }
}

/** What is said goes to the function's log: warnings and errors as standard error, all else as standard output. */
function consoleOf(print) {
  let indent = "";
  const counts = new Map();
  const began = new Map();
  const say = (isError) => (...values) => {
    const text = format(values);
    print(isError, indent ? text.replace(/^/gm, indent) : text);
  };
  const [log, error] = [say(false), say(true)];
  const group = (...values) => {
    if (values.length > 0) {
      log(...values);
    }
    indent += "  ";
  };
  const elapsed = (label) => `${label}: ${(performance.now() - began.get(label)).toFixed(3)} ms`;
  return {
    log, info: log, debug: log, dir: (value) => log(value), dirxml: log, table: (value) => log(value),
    warn: error, error,
    trace: (...values) => error("Trace:", ...values, `\n${new Error().stack.split("\n").slice(1).join("\n").trimEnd()}`),
    assert: (holds, ...values) => holds || error("Assertion failed", ...values),
    group, groupCollapsed: group,
    groupEnd: () => {
      indent = indent.slice(2);
    },
    count: (label = "default") => {
      counts.set(label, (counts.get(label) ?? 0) + 1);
      log(`${label}: ${counts.get(label)}`);
    },
    countReset: (label = "default") => void counts.delete(label),
    time: (label = "default") => void began.set(label, performance.now()),
    timeLog: (label = "default", ...values) => log(elapsed(label), ...values),
    timeEnd: (label = "default") => {
      log(elapsed(label));
      began.delete(label);
    },
  };
}

function encoderOf(encode) {
  return class TextEncoder {
    get encoding() {
      return "utf-8";
    }

    encode(text = "") {
      return encode(String(text));
    }

    encodeInto(text, target) {
      let [read, written] = [0, 0];
      for (const character of String(text)) {
        const bytes = encode(character);
        if (written + bytes.length > target.length) {
          break;
        }
        target.set(bytes, written);
        written += bytes.length;
        read += character.length;
      }
      return { read, written };
    }
  };
}

const NOTHING = new Uint8Array(0);

function decoderOf({ decode, decodeLossy }) {
  const NAMES = ["utf-8", "utf8", "unicode-1-1-utf-8"];
  return class TextDecoder {
    #rest = NOTHING;

    constructor(label = "utf-8", { fatal = false, ignoreBOM = false } = {}) {
      if (!NAMES.includes(String(label).trim().toLowerCase())) {
        throw new RangeError(`the encoding '${label}' is not there, UTF-8 is`);
      }
      Object.defineProperties(this, { encoding: { value: "utf-8" }, fatal: { value: fatal }, ignoreBOM: { value: ignoreBOM } });
    }

    decode(input = NOTHING, { stream = false } = {}) {
      let bytes = bytesOf(input);
      if (!bytes) {
        throw new TypeError("only bytes can be decoded");
      }
      if (stream || this.#rest.length > 0) {
        const all = new Uint8Array([...this.#rest, ...bytes]);
        const end = stream ? all.length - cut(all) : all.length;
        this.#rest = all.slice(end);
        bytes = all.subarray(0, end);
      }
      const text = this.fatal ? decode(bytes) : decodeLossy(bytes);
      return !this.ignoreBOM && text.startsWith("\ufeff") ? text.slice(1) : text;
    }
  };
}

/** Returns how many bytes at the end are the beginning of a character that is cut off. */
function cut(bytes) {
  for (let back = 1; back <= Math.min(3, bytes.length); back++) {
    const byte = bytes[bytes.length - back];
    if (byte >= 0xc0) {
      return back < (byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2) ? back : 0;
    }
    if (byte < 0x80) {
      return 0;
    }
  }
  return 0;
}

function cryptoOf(random) {
  return {
    getRandomValues(target) {
      bytesOf(target).set(random(target.byteLength));
      return target;
    },
    randomUUID() {
      const bytes = random(16);
      bytes[6] = (bytes[6] & 0x0f) | 0x40;
      bytes[8] = (bytes[8] & 0x3f) | 0x80;
      const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
      return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
    },
  };
}
