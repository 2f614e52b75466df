// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

/**
 * Text and bytes. There are three forms: text, bytes (`Uint8Array`), and *binary text*, which has one character from 0 to 255 for
 * each byte. Binary text is what keys of state are kept as: it can be compared, and be the key of a map.
 *
 * An engine has faster functions, see `use`.
 */

const CHUNK = 8192;

let encoder;
let decoder;

/** Returns text as UTF-8. */
export let encode = (text) => (encoder ??= new TextEncoder()).encode(text);

/** Returns the text of UTF-8; throws a TypeError if the bytes are none. */
export let decode = (bytes) => (decoder ??= new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })).decode(bytes);

/** Returns the value of JSON in UTF-8, from `start` to `end`. */
export let parse = (bytes, start, end) => JSON.parse(decode(bytes.subarray(start, end)));

/** Returns bytes as binary text. */
export let binary = (bytes) => {
  let text = "";
  for (let at = 0; at < bytes.length; at += CHUNK) {
    text += String.fromCharCode.apply(null, bytes.subarray(at, at + CHUNK));
  }
  return text;
};

/** Returns the bytes of binary text. */
export let unbinary = (text) => {
  const bytes = new Uint8Array(text.length);
  for (let at = 0; at < text.length; at++) {
    bytes[at] = text.charCodeAt(at);
  }
  return bytes;
};

/** Returns the UTF-8 of text as binary text. */
export let binaryOf = (text) => binary(encode(text));

/** Reports whether a value is a Uint8Array. */
export let isBytes = (value) => value instanceof Uint8Array;

/** Replaces these functions. */
export function use(natives) {
  ({ encode, decode, parse, binary, unbinary, binaryOf, isBytes } = natives);
}

/** Returns bytes of bytes or of text, in UTF-8. */
export function asBytes(value, what) {
  if (typeof value === "string") {
    return encode(value);
  }
  return bytesOf(value) ?? wrong(value, what);
}

/** Returns binary text of bytes or of text, in UTF-8. */
export function asBinary(value, what) {
  if (typeof value === "string") {
    return binaryOf(value);
  }
  return binary(bytesOf(value) ?? wrong(value, what));
}

/** Returns the bytes that a value is, or undefined if it is something else. */
export function bytesOf(value) {
  if (isBytes(value)) {
    return value;
  }
  if (value instanceof ArrayBuffer) {
    return new Uint8Array(value);
  }
  return ArrayBuffer.isView(value) ? new Uint8Array(value.buffer, value.byteOffset, value.byteLength) : undefined;
}

function wrong(value, what) {
  throw new TypeError(`${what} must be text or bytes, not ${typeName(value)}`);
}

/** Returns the name of a value's type, for messages. */
export function typeName(value) {
  if (value === null || typeof value !== "object") {
    return value === null ? "null" : typeof value;
  }
  return `an object of the type '${Object.getPrototypeOf(value)?.constructor?.name || "Object"}'`;
}
