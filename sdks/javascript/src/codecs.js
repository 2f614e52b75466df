// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

/** Values as bytes, the same in all languages. What there is, and what it does, is told in codecs.d.ts. */

import { fits, high, join, low } from "./numbers.js";
import { asBytes, decode, encode, parse, typeName } from "./text.js";

/** Returns a codec of a fixed size, whose order of bytes is that of the values. `put` and `get` are called with a DataView. */
function fixed(name, size, put, get) {
  return Object.freeze({
    name,
    size,
    ordered: true,
    encode(value) {
      const view = new DataView(new ArrayBuffer(size));
      put(view, value);
      return new Uint8Array(view.buffer);
    },
    decode(data) {
      if (data.length !== size) {
        throw new RangeError(`the codec '${name}' takes ${size} bytes, not ${data.length}`);
      }
      return get(new DataView(data.buffer, data.byteOffset, size));
    },
  });
}

function checkType(name, value) {
  if (typeof value !== "bigint" && !Number.isInteger(value)) {
    throw new TypeError(`the codec '${name}' takes integers, not ${typeof value === "number" ? value : typeName(value)}`);
  }
}

function checked(name, value, least, most) {
  checkType(name, value);
  const number = Number(value);
  if (number < least || number > most) {
    throw new RangeError(`${value} does not fit into '${name}'`);
  }
  return number;
}

/** Returns a number if it is a safe one, or a bigint. */
function checkedExactly(name, value, signed) {
  if (Number.isSafeInteger(value) && (signed || value >= 0)) {
    return value;
  }
  checkType(name, value);
  const exact = BigInt(value);
  if (!fits(exact, signed)) {
    throw new RangeError(`${value} does not fit into '${name}'`);
  }
  return exact;
}

export const bool = fixed(
  "bool",
  1,
  (view, value) => view.setUint8(0, value ? 1 : 0),
  (view) => {
    const byte = view.getUint8(0);
    if (byte > 1) {
      throw new RangeError(`the byte ${byte} is no encoded bool`);
    }
    return byte === 1;
  },
);

/** Big-endian, with the sign bit flipped. */
function signed(bits) {
  const half = 2 ** (bits - 1);
  const name = `int${bits}`;
  const put = (view, value) => view[`setUint${bits}`](0, checked(name, value, -half, half - 1) + half);
  return fixed(name, bits / 8, put, (view) => view[`getUint${bits}`](0) - half);
}

/** Big-endian. */
function unsigned(bits) {
  const name = `uint${bits}`;
  const put = (view, value) => view[`setUint${bits}`](0, checked(name, value, 0, 2 ** bits - 1));
  return fixed(name, bits / 8, put, (view) => view[`getUint${bits}`](0));
}

export const int8 = signed(8);
export const int16 = signed(16);
export const int32 = signed(32);
export const uint8 = unsigned(8);
export const uint16 = unsigned(16);
export const uint32 = unsigned(32);

/** Big-endian halves; the sign bit, if there is one, is flipped. */
function halves(name, signed, shown) {
  const flip = signed ? 1 << 31 : 0;
  const put = (view, value) => {
    const exact = checkedExactly(name, value, signed);
    view.setInt32(0, high(exact) ^ flip);
    view.setUint32(4, low(exact));
  };
  const upper = signed ? (view) => view.getInt32(0) ^ flip : (view) => view.getUint32(0);
  return fixed(name, 8, put, (view) => shown(join(upper(view), view.getUint32(4))));
}

export const int64 = halves("int64", true, (value) => value);
export const uint64 = halves("uint64", false, (value) => value);
export const bigint = halves("bigint", true, BigInt);

/** The bits, all inverted if negative, else with the sign bit flipped. */
function float(bits) {
  const flip = (view) => {
    if (view.getUint8(0) & 0x80) {
      for (let at = 0; at < bits / 8; at++) {
        view.setUint8(at, ~view.getUint8(at));
      }
    } else {
      view.setUint8(0, view.getUint8(0) | 0x80);
    }
  };
  const name = `float${bits}`;
  const put = (view, value) => {
    if (typeof value !== "number") {
      throw new TypeError(`the codec '${name}' takes numbers, not ${typeName(value)}`);
    }
    view[`setFloat${bits}`](0, value);
    flip(view);
  };
  return fixed(name, bits / 8, put, (view) => {
    const copy = new DataView(view.buffer.slice(view.byteOffset, view.byteOffset + bits / 8));
    // The way back is the same, but for the sign bit, which says the opposite.
    if (copy.getUint8(0) & 0x80) {
      copy.setUint8(0, copy.getUint8(0) & 0x7f);
    } else {
      for (let at = 0; at < bits / 8; at++) {
        copy.setUint8(at, ~copy.getUint8(at));
      }
    }
    return copy[`getFloat${bits}`](0);
  });
}

export const float32 = float(32);
export const float64 = float(64);

export const string = Object.freeze({
  name: "string",
  size: null,
  ordered: true,
  encode(value) {
    if (typeof value !== "string") {
      throw new TypeError(`the codec 'string' takes text, not ${typeName(value)}`);
    }
    return encode(value);
  },
  decode: (data) => decode(data),
});

export const bytes = Object.freeze({
  name: "bytes",
  size: null,
  ordered: true,
  encode: (value) => asBytes(value, "what the codec 'bytes' takes").slice(),
  decode: (data) => data.slice(),
});

export const json = Object.freeze({
  name: "json",
  size: null,
  ordered: false,
  encode(value) {
    const text = JSON.stringify(value);
    if (text === undefined) {
      throw new TypeError(`the codec 'json' takes what JSON has, not ${typeName(value)}`);
    }
    return encode(text);
  },
  decode: (data) => parse(data, 0, data.length),
});

const NAMED = {
  bool, int8, int16, int32, int64, uint8, uint16, uint32, uint64, bigint, float32, float64, string, bytes, json,
};

/** Returns the codec of a name, or a codec as it is. */
export function codecOf(type) {
  if (typeof type === "string" && Object.hasOwn(NAMED, type)) {
    return NAMED[type];
  }
  if (typeof type?.encode === "function" && typeof type?.decode === "function") {
    return type;
  }
  const told = typeof type === "string" ? `'${type}'` : typeName(type);
  throw new TypeError(`${told} is no type of a state: it is one of ${Object.keys(NAMED).join(", ")}, or a codec`);
}
