// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

/** A function under test. What there is, and what it does, is told in testing.d.ts. */

import { Driver, Failed } from "../driver.js";
import { FunctionError } from "../errors.js";
import { build, Rows, writeHeaders } from "../frame.js";
import { find, makerOf } from "../function.js";
import { EVENT_TIME, PROCESSING_TIME, Record } from "../record.js";
import { asBytes, decode, unbinary } from "../text.js";
import { hexKeys, Memory } from "./memory.js";

// The most calls for timers that may follow each other. On a server there is no such limit, but a test would not end.
const MOST_CALLS = 10_000;

/** A record, or a timer, failed. */
export class RecordFailed extends Error {
  constructor(message, record = undefined) {
    super(message);
    this.record = record;
  }

  get name() {
    return "RecordFailed";
  }
}

export class Harness {
  /** Makes the function and initializes it. */
  static async start(target, { config = {}, outputs = ["output"], inputs = 1 } = {}) {
    const harness = new Harness();
    harness._make = isModule(target) ? find(target, "the module") : makerOf(target);
    harness._config = Object.entries(config).map(([name, value]) => [name, String(value)]);
    [harness._outputs, harness._inputs] = [[...outputs], inputs];
    harness._memory = new Memory();
    harness._driver = undefined;
    // What there was at the last checkpoint, and the calls since then, to be made again.
    harness._committed = harness._memory.world.copy();
    harness._journal = [];
    // How much of what was emitted the test has seen.
    harness._seen = { output: 0, watermarks: 0 };
    harness._watermarks = new Map();
    // The watermark that the function was told, and the machine's clock, once it was set.
    [harness._told, harness._now] = [undefined, undefined];
    // The last turn of queued timers that come before the next watermark, once the way to it has begun.
    harness._queued = undefined;
    harness._checkpoints = 0;
    await harness._start();
    return harness;
  }

  get object() {
    return this._alive().object;
  }

  async send(...records) {
    await this.sendTo(0, ...records);
  }

  async sendTo(source, ...records) {
    await this._advance();
    await this._process(records.map((record) => rowOf(record, source)));
    await this._advance();
  }

  async watermark(watermark, source = 0) {
    if (!(source >= 0 && source < this._inputs)) {
      throw new FunctionError(`there is no input group ${source}, the function has ${this._inputs}`);
    }
    const before = this._watermarks.get(source) ?? 0;
    this._watermarks.set(source, watermark > before ? watermark : before);
    await this._advance();
  }

  async time(now) {
    this._now = this._now === undefined || now > this._now ? now : this._now;
    await this._advance();
  }

  async checkpoint(number = this._checkpoints + 1) {
    this._checkpoints = number;
    await this._call((driver) => driver.takeCheckpoint(number));
    this._committed = this._memory.world.copy();
    this._journal = [];
    await this._advance();
  }

  async heartbeat() {
    const well = await this._call((driver) => driver.checkHeartbeat());
    if (!well) {
      await this.restart();
    }
    return well;
  }

  async custom(payload) {
    const driver = this._alive();
    try {
      return await run(driver.custom(asBytes(payload, "a request")));
    } catch (error) {
      throw await this._giveUp(error, 0);
    }
  }

  async exec(className, modules = []) {
    const given = modules.map(([name, content]) => ({ name, bytes: asBytes(content, "a module") }));
    await this._call((driver) => driver.exec(className, given));
  }

  async close() {
    await this._call((driver) => driver.close());
  }

  async restart() {
    await this._restore();
    await this._advance();
  }

  emitted() {
    return this._news("output");
  }

  values() {
    return this.emitted().map(({ value }) => value);
  }

  texts() {
    return this.values().map((value) => value && decode(value));
  }

  watermarks() {
    return this._news("watermarks");
  }

  timers() {
    const all = [EVENT_TIME, PROCESSING_TIME].flatMap((domain) => this._memory.world.find(domain, () => true));
    return all.map(({ domain, at, key }) => ({ domain, at, key: unbinary(key) }));
  }

  state(store) {
    const at = this._memory.stores.indexOf(store);
    return hexKeys(at < 0 ? new Map() : this._memory.world.stateOf(at));
  }

  _news(kind) {
    const all = this._memory.world[kind];
    const since = all.slice(this._seen[kind]);
    this._seen[kind] = all.length;
    return since;
  }

  async _restore() {
    this._driver = undefined;
    const world = (this._memory.world = this._committed.copy());
    await this._start();
    for (const { reached, turn, call } of this._journal) {
      [world.reached, world.turn] = [[...reached], turn];
      try {
        await call(this._driver);
      } catch (error) {
        throw new RecordFailed(`what was processed before failed when it was repeated: ${messageOf(error)}`);
      }
    }
  }

  async _start() {
    const metadata = { name: "test", revision: 1, taskIndex: 0, outputs: this._outputs };
    const driver = new Driver(this._make, this._memory, this._config, metadata);
    try {
      await run(driver.init());
    } catch (error) {
      throw new RecordFailed(messageOf(error));
    }
    this._driver = driver;
  }

  _alive() {
    if (!this._driver) {
      throw new RecordFailed("the function could not be made");
    }
    return this._driver;
  }

  async _call(call) {
    const driver = this._alive();
    try {
      return await run(call(driver));
    } catch (error) {
      throw new RecordFailed(messageOf(error));
    }
  }

  async _process(rows) {
    if (rows.length === 0) {
      return;
    }
    const driver = this._alive();
    const attempt = (count) => {
      const data = build(packed(rows.slice(0, count)));
      return (driver) => run(driver.processBatch(data.slice()));
    };
    const kept = this._kept(attempt(rows.length));
    try {
      await kept.call(driver);
    } catch (failed) {
      if (!(failed instanceof Failed)) {
        throw failed;
      }
      if (failed.undone) {
        this._journal.push({ ...kept, call: attempt(failed.index) });
        throw new RecordFailed(failed.message, failed.index);
      }
      const told = await this._giveUp(failed, rows.length);
      if (told.record !== undefined && this._driver) {
        try {
          await this._process(rows.slice(0, told.record));
        } catch (again) {
          const message = `${told.message}; and then, in a new function: ${messageOf(again)}`;
          throw new RecordFailed(message, told.record);
        }
      }
      throw told;
    }
    this._journal.push(kept);
  }

  /** A call for the journal, with what time it is. */
  _kept(call) {
    return { reached: [...this._memory.world.reached], turn: this._memory.world.turn, call };
  }

  /** A call failed: a new function goes on from where it stood before that. */
  async _giveUp(failed, records) {
    let message = messageOf(failed);
    try {
      await this._restore();
    } catch (again) {
      message = `${message}; and then: ${messageOf(again)}`;
    }
    return new RecordFailed(message, failed.index < records ? failed.index : undefined);
  }

  async _attempt(timers, call) {
    const kept = this._kept(call);
    const driver = this._alive();
    try {
      await call(driver);
    } catch (failed) {
      throw await this._giveUp(failed, timers);
    }
    this._journal.push(kept);
  }

  /** The watermark that the function is to be told, with the input group that held it back until now. */
  _rise() {
    if (this._watermarks.size < this._inputs) {
      return undefined;
    }
    const [group, watermark] = [...this._watermarks].reduce((a, b) => (b[1] < a[1] || (b[1] === a[1] && b[0] < a[0]) ? b : a));
    return this._told === undefined || this._told < watermark ? [group, watermark] : undefined;
  }

  /** Fires what is due, then tells the watermark that made it so, until there is nothing to tell. */
  async _advance() {
    for (let calls = 0; calls < MOST_CALLS; calls++) {
      const rise = this._rise();
      const due = this._next(rise?.[1]);
      if (due.length > 0) {
        await this._fire(due);
      } else if (rise) {
        this._memory.world.reached[EVENT_TIME] = rise[1];
        await this._attempt(0, (driver) => run(driver.processWatermark(...rise)));
        [this._told, this._queued] = [rise[1], undefined];
      } else {
        return;
      }
    }
    throw new RecordFailed(
      `${MOST_CALLS} calls for timers, and there is still one due: timers set timers that are due already, without end`,
    );
  }

  /** The timers that fire next, in one call; those that are set from now on know what time it is. */
  _next(rise) {
    const world = this._memory.world;
    world.reached = [this._told, this._now];
    if (this._now !== undefined) {
      const due = world.due(PROCESSING_TIME, this._now);
      if (due.length > 0) {
        return due;
      }
      const queued = world.queued(PROCESSING_TIME, world.turn);
      if (queued.length > 0) {
        world.turn++;
        return queued;
      }
    }
    if (rise !== undefined && this._queued === undefined) {
      this._queued = world.turn++;
    }
    const queued = world.queued(EVENT_TIME, this._queued ?? world.turn);
    if (queued.length > 0) {
      world.turn++;
      return queued;
    }
    const due = rise === undefined ? [] : world.due(EVENT_TIME, rise);
    if (due.length > 0 && (this._told === undefined || due[0].at > this._told)) {
      world.reached[EVENT_TIME] = due[0].at;
    }
    return due;
  }

  /** Fires timers in one call, or those before one that fails, which stays set. */
  async _fire(due) {
    const rows = new Rows();
    for (const { at, domain, key } of due) {
      rows.push(at, domain, unbinary(key), null, new Uint8Array(0));
    }
    const data = build(rows);
    const fire = (driver) => {
      for (const { domain, key } of due) {
        this._memory.world.timers.delete(`${domain}${key}`);
      }
      return run(driver.onTimers(data.slice()));
    };
    try {
      await this._attempt(due.length, fire);
    } catch (failed) {
      if (!(failed instanceof RecordFailed)) {
        throw failed;
      }
      if (failed.record === undefined && due.length > 1 && this._driver) {
        const half = due.length >> 1;
        await this._fire(due.slice(0, half));
        await this._fire(due.slice(half));
        return;
      }
      const index = failed.record ?? 0;
      if (index > 0 && this._driver) {
        await this._fire(due.slice(0, index));
      }
      const { at, key } = due[index];
      throw new RecordFailed(`the timer '${Buffer.from(key, "latin1")}' of ${at}: ${failed.message}`);
    }
  }
}

/** Runs a call to its end. */
async function run(call) {
  let step = call.next();
  while (!step.done) {
    let value;
    try {
      // What waits in the queue of jobs comes first, and all that it brings.
      value = step.value === undefined ? await new Promise((resolve) => setImmediate(resolve)) : await step.value;
    } catch (error) {
      step = call.throw(error);
      continue;
    }
    step = call.next(value);
  }
  return step.value;
}

function isModule(target) {
  return target?.[Symbol.toStringTag] === "Module";
}

function messageOf(error) {
  if (error instanceof Failed || error instanceof RecordFailed) {
    return error.message;
  }
  throw error;
}

function rowOf(record, source) {
  if (record instanceof Record) {
    const { timestamp, key, headers, value } = record;
    return [timestamp, record.source || source, key, writeHeaders(headers), value];
  }
  return [0, source, null, null, record === null ? null : asBytes(record, "a record")];
}

function packed(list) {
  const rows = new Rows();
  for (const row of list) {
    rows.push(...row);
  }
  return rows;
}
