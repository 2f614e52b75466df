// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

/** Calls from the host, and what becomes of them. `start` is called once, before anything of the function is loaded. */

import { Driver, Failed, NONE } from "functionstream/driver.js";
import { FunctionError } from "functionstream/errors.js";
import { find, NotFound } from "functionstream/function.js";
import { readPairs } from "functionstream/lists.js";
import { high, join, low } from "functionstream/numbers.js";
import { use } from "functionstream/text.js";
import { explain, hide, useAdvice } from "functionstream/trace.js";
import { advice, placed } from "./advice.js";
import { install } from "./globals.js";

let natives;
let make;
let driver;

/** Takes what the engine gives, and returns the calls. */
export function start(given) {
  natives = given;
  const { decode, parse, binary, unbinary } = natives;
  const encode = (text) => natives.encode(text) ?? natives.encode(text.toWellFormed());
  const binaryOf = (text) => natives.binaryOf(text) ?? natives.binaryOf(text.toWellFormed());
  use({ encode, decode, parse, binary, unbinary, binaryOf });
  useAdvice(advice);
  hide("<engine>/");
  install(natives, encode);
  return calls;
}

/** Records that wait to be emitted. The engine packs them; there is one such list at a time. */
const rows = {
  length: 0,
  push(timestamp, channel, key, headers, value) {
    if (!natives.push(timestamp, channel, key, headers, value)) {
      natives.push(timestamp, channel, key, headers, value.toWellFormed());
    }
    this.length++;
  },
  truncate(length) {
    natives.truncate(length);
    this.length = length;
  },
};

/** The host's interfaces, as the SDK knows them. */
const host = {
  rows: () => rows,
  emit() {
    rows.length = 0;
    natives.emit();
  },
  emitWatermark: (output, watermark) => told(() => natives.emitWatermark(output, high(watermark), low(watermark))),
  setTimer: (domain, key, at) => told(() => natives.setTimer(domain, key, high(at), low(at))),
  deleteTimer: (domain, key) => told(() => natives.deleteTimer(domain, key)),
  open: (name) => told(() => natives.open(name)),
  get: (store, key) => told(() => natives.get(store, key)),
  write: (store, ops) => natives.write(store, ops),
  scan(store, start, end, mostBytes) {
    const page = told(() => natives.scan(store, start, end, mostBytes));
    return [readPairs(page.pairs), page.next];
  },
};

function told(call) {
  try {
    return call();
  } catch (error) {
    throw new FunctionError(error.message);
  }
}

const calls = {
  load: (module, file, name) => answer(() => void (make = find(module, file, name))),
  unloadable: (error) => answer(() => {
    throw error;
  }),
  init(config, name, revisionHigh, revisionLow, taskIndex, outputs) {
    const metadata = { name, revision: join(revisionHigh, revisionLow), taskIndex, outputs: Object.freeze(outputs) };
    return answer(() => {
      driver = new Driver(make, host, config, metadata, new Uint32Array(natives.cell));
      return run(driver.init());
    });
  },
  processBatch: (frame) => answer(() => run(alive().processBatch(frame))),
  onTimers: (frame) => answer(() => run(alive().onTimers(frame))),
  processWatermark: (source, high, low) => answer(() => run(alive().processWatermark(source, join(high, low)))),
  takeCheckpoint: (high, low) => answer(() => run(alive().takeCheckpoint(join(high, low)))),
  checkHeartbeat: () => answer(() => run(alive().checkHeartbeat())),
  close: () => answer(() => run(alive().close())),
  exec: (className, modules) => answer(() => run(alive().exec(className, modules))),
  custom: (payload) => answer(() => run(alive().custom(payload))),
};

function alive() {
  if (!driver) {
    throw new Failed("the function was not initialized");
  }
  return driver;
}

function answer(call) {
  try {
    return { value: call() };
  } catch (error) {
    // What the call has left behind is not the next one's.
    natives.drain();
    natives.rejections();
    if (error instanceof Failed) {
      return { message: error.message, index: error.index, undone: error.undone };
    }
    const message = error instanceof NotFound ? error.message : placed(error, explain(error), natives.line);
    return { message, index: NONE, undone: false };
  }
}

/** Runs a call to its end: what it waits for is done at once. */
function run(call) {
  let step = call.next();
  while (!step.done) {
    if (step.value === undefined) {
      natives.drain();
      const [rejected] = natives.rejections().map((error) => ({ error }));
      step = rejected ? call.throw(rejected.error) : call.next();
      continue;
    }
    const settled = settle(step.value);
    step = "error" in settled ? call.throw(settled.error) : call.next(settled.value);
  }
  return step.value;
}

function settle(promise) {
  let settled;
  Promise.resolve(promise).then(
    (value) => {
      settled = { value };
    },
    (error) => {
      settled = { error };
    },
  );
  natives.drain();
  return settled ?? { error: new Error("the function waits for something that nobody does") };
}
