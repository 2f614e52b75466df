// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

/** Integers of 64 bits as two halves. A safe integer is a number; what is beyond is a bigint. */

const TWO_32 = 4294967296;

/** Returns an integer of its upper half, with its sign if it has one, and its lower half. */
export function join(high, low) {
  const number = high * TWO_32 + low;
  return Number.isSafeInteger(number) ? number : (BigInt(high) << 32n) | BigInt(low);
}

/** Returns the upper half of an integer. */
export function high(value) {
  return typeof value === "bigint" ? Number(BigInt.asIntN(32, value >> 32n)) : Math.floor(value / TWO_32);
}

/** Returns the lower half of an integer. */
export function low(value) {
  return typeof value === "bigint" ? Number(BigInt.asUintN(32, value)) : value >>> 0;
}

// Bigints are compared with bigints alone: QuickJS compares negative ones with numbers wrongly.
const [LEAST_SAFE, MOST_SAFE] = [BigInt(Number.MIN_SAFE_INTEGER), BigInt(Number.MAX_SAFE_INTEGER)];

/** Returns the integer that a bigint is, as a number if that is exact. */
export function simple(value) {
  return value >= LEAST_SAFE && value <= MOST_SAFE ? Number(value) : value;
}

/** Reports whether a bigint is an integer of 64 bits, with or without a sign. */
export function fits(value, signed) {
  return signed ? BigInt.asIntN(64, value) === value : BigInt.asUintN(64, value) === value;
}

/** Throws unless a value is an integer of 64 bits, with or without a sign. */
export function checkInteger(value, what, signed = true) {
  if (typeof value !== "bigint" && !Number.isInteger(value)) {
    throw new TypeError(`${what} must be an integer, not ${typeof value === "number" ? value : typeof value}`);
  }
  if (!Number.isSafeInteger(value) || (!signed && value < 0)) {
    const exact = BigInt(value);
    if (!fits(exact, signed)) {
      throw new RangeError(`${what} is ${value}, which does not fit into 64 bits${signed ? "" : " without a sign"}`);
    }
    return simple(exact);
  }
  return value;
}
