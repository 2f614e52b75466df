// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

/** Calls from the host, and what becomes of them. `start` is called once, before anything of the function is loaded. */

import { Driver, Failed, NONE } from "functionstream/driver.js";
import { find, NotFound } from "functionstream/function.js";
import { high, join, low } from "functionstream/numbers.js";
import { use } from "functionstream/text.js";
import { explain, hide, useAdvice } from "functionstream/trace.js";
import { advice, placed } from "./advice.js";
import { install } from "./globals.js";
import { storeOf, told, useNatives } from "./store.js";

let natives;
let make;
let driver;

/** Takes what the engine gives, and returns the calls. */
export function start(given) {
  natives = given;
  use(natives);
  useNatives(natives);
  useAdvice(advice);
  hide("<engine>/");
  install(natives);
  return calls;
}

/** The host's interfaces, as the SDK knows them. Records that wait to be emitted are packed by the engine; there is one list at a time. */
const host = {
  rows: () => ({ push: natives.push, truncate: natives.truncate }),
  emit: () => natives.emit(),
  emitWatermark: (output, watermark) => told(() => natives.emitWatermark(output, high(watermark), low(watermark))),
  setTimer: (domain, key, at) => told(() => natives.setTimer(domain, key, high(at), low(at))),
  deleteTimer: (domain, key) => told(() => natives.deleteTimer(domain, key)),
  store: storeOf,
};

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
