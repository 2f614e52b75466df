// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

/** The records of the workloads `money` and `keyed-count` as `function-stream bench` makes them: 100 bytes, and keys that are as uneven. */

const KEYS = 1_000_000;
const SIZE = 100;

// As many as are handed over at a time.
const BATCH = 1000;

/** Yields arrays of [key, value] pairs. */
export function* batches(workload, count) {
  const make = workload === "money" ? person : counted(zipf());
  for (let start = 0; start < count; start += BATCH) {
    yield Array.from({ length: Math.min(BATCH, count - start) }, (_, index) => make(start + index));
  }
}

const encoder = new TextEncoder();

function person(number) {
  const [head, tail] = [`{"name":"${number}-`, '","money":2}'];
  return [null, encoder.encode(head + "x".repeat(SIZE - head.length - tail.length) + tail)];
}

function counted(ranks) {
  return (number) => {
    const [key, value] = [new Uint8Array(8), new Uint8Array(SIZE).fill(120)];
    // The rank is scattered, as there.
    new DataView(key.buffer).setBigUint64(0, BigInt.asUintN(64, BigInt(ranks()) * 0x9e3779b97f4a7c15n));
    new DataView(value.buffer).setBigUint64(0, BigInt(number), true);
    return [key, value];
  };
}

/** Returns what gives ranks by Zipf 1.0. */
function zipf() {
  const weights = new Float64Array(KEYS);
  for (let rank = 1, sum = 0; rank <= KEYS; rank++) {
    sum += 1 / rank;
    weights[rank - 1] = sum;
  }
  let seed = 1;
  return () => {
    // The generator is mulberry32: Math.random takes no seed.
    seed = (seed + 0x6d2b79f5) | 0;
    let mixed = Math.imul(seed ^ (seed >>> 15), seed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    const wanted = (((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296) * weights[KEYS - 1];
    let [low, high] = [0, KEYS - 1];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (weights[middle] < wanted) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low + 1;
  };
}
