// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

/**
 * The examples `money` and `keyed-count` with their SDK by an interpreter of its own, without a server: node [--jitless] sdk.mjs
 * WORKLOAD RECORDS.
 *
 * All is as in the engine, frames included. The host is the least that there can be: it packs what is emitted, and keeps state in a map.
 * Prints the processor time of a record in microseconds.
 */

import { CachedStore } from "../../sdks/javascript/src/cache.js";
import { Driver } from "../../sdks/javascript/src/driver.js";
import { build, MOST_BYTES, Rows } from "../../sdks/javascript/src/frame.js";
import { makerOf } from "../../sdks/javascript/src/function.js";
import { Store } from "../../sdks/javascript/src/store.js";
import { batches } from "./records.mjs";

const [workload, count] = [process.argv[2], Number(process.argv[3])];

const example = (await import(new URL(`../../examples/${workload}/javascript/app.js`, import.meta.url))).default;
const state = new Map();
const host = {
  rows: () => new Rows(MOST_BYTES),
  emit: (rows) => void build(rows),
  store: (context) => new Store(new CachedStore(context, 0)),
  get: (_store, key) => state.get(key),
  write(_store, ops) {
    for (const { key, value } of ops) {
      state.set(key, value);
    }
  },
};
const metadata = { name: "bench", revision: 1, taskIndex: 0, outputs: ["output"] };
const driver = new Driver(makerOf(example), host, [], metadata);
run(driver.init());

let took = 0;
for (const batch of batches(workload, count)) {
  const rows = new Rows();
  for (const [key, value] of batch) {
    rows.push(0, 0, key, null, value);
  }
  const frame = build(rows);
  const began = process.cpuUsage();
  run(driver.processBatch(frame));
  const { user, system } = process.cpuUsage(began);
  took += user + system;
}
console.log((took / count).toFixed(3));

/** Runs a call to its end. Nothing waits: the examples have no promises. */
function run(call) {
  while (!call.next().done);
}
