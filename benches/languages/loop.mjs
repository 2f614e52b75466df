// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

/**
 * The work of the examples `money` and `keyed-count` by an interpreter of its own, without a server: node [--jitless] loop.mjs WORKLOAD
 * RECORDS.
 *
 * It imports the examples as they are. What the SDK does that cannot be left out is here: a record that is made of bytes, JSON that is
 * read and written, a map as the store, an array that takes what is emitted. Prints the processor time of a record in microseconds.
 */

import { batches } from "./records.mjs";

const [workload, count] = [process.argv[2], Number(process.argv[3])];
const example = (await import(new URL(`../../examples/${workload}/javascript/app.js`, import.meta.url))).default;
const [decoder, encoder] = [new TextDecoder(), new TextEncoder()];

class Record {
  constructor(key, value) {
    this.key = key;
    this.value = value;
  }

  json() {
    return JSON.parse(decoder.decode(this.value));
  }
}

/** A store whose keys are bytes. */
class Store {
  #map = new Map();

  get(key) {
    return this.#map.get(Buffer.prototype.latin1Slice.call(key));
  }

  put(key, value) {
    this.#map.set(Buffer.prototype.latin1Slice.call(key), value);
  }
}

let emitted = [];
const ctx = { store: () => new Store(), emit: (value, options) => void emitted.push([options?.key, value]) };
let run;
if (workload === "money") {
  run = (record) => void emitted.push(encoder.encode(JSON.stringify(example(record))));
} else {
  const counter = new example();
  counter.init(ctx);
  run = (record) => counter.process(record, ctx);
}
let took = 0;
for (const batch of batches(workload, count)) {
  const began = process.cpuUsage();
  for (const [key, value] of batch) {
    run(new Record(key, value), ctx);
  }
  emitted = [];
  const { user, system } = process.cpuUsage(began);
  took += user + system;
}
console.log((took / count).toFixed(3));
