// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

/**
 * The work of the examples `money` and `keyed-count` by an interpreter of its own, without a server: node [--jitless] loop.mjs WORKLOAD
 * RECORDS.
 *
 * It imports the examples as they are. What the SDK does that cannot be left out is here: a record that is made of bytes, JSON that is
 * read and written, a map as the store, an array that takes what is emitted. Prints the processor time of a record in microseconds.
 */

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
    return this.#map.get(decoder.decode(key));
  }

  put(key, value) {
    this.#map.set(decoder.decode(key), value);
  }
}

let emitted = [];
const ctx = { store: () => new Store(), emit: (value, options) => void emitted.push([options?.key, value]) };
let run;
let records;
if (workload === "money") {
  run = (record) => void emitted.push(encoder.encode(JSON.stringify(example(record))));
  records = Array.from({ length: 1000 }, (_, number) => {
    const name = number.toString(16).padStart(64, "0");
    return [null, encoder.encode(`{"name":"${name}","money":2,"expected":0}`)];
  });
} else {
  const counter = new example();
  counter.init(ctx);
  run = (record) => counter.process(record, ctx);
  const value = encoder.encode("x".repeat(100));
  records = Array.from({ length: 100_000 }, (_, number) => {
    // As uneven as what the bench has.
    const chance = ((number * 2654435761) % 4294967296) / 4294967296;
    return [encoder.encode(`key${Math.floor(1 / (1 - chance))}`), value];
  });
}
const rounds = Math.max(1, Math.floor(count / records.length));
const began = process.cpuUsage();
for (let round = 0; round < rounds; round++) {
  for (const [key, value] of records) {
    run(new Record(key, value), ctx);
  }
  // As often as a batch is handed over.
  emitted = [];
}
const { user, system } = process.cpuUsage(began);
console.log(((user + system) / rounds / records.length).toFixed(3));
