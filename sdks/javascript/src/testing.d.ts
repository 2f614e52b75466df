// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

/**
 * Runs a function without a server, in the process of its own tests, with state in memory. It needs Node.js.
 *
 * It keeps what a server promises: a record that fails leaves nothing in state and outputs, and the records before it do. Like on a
 * server, the function itself is the same afterwards, and its fields are as the failed call left them, unless the record had set a
 * timer, emitted a watermark, or emitted or written more than 1 MiB; then a new function takes over.
 *
 * Time stands still until a test moves it: `watermark` moves event time, `time` the machine's clock.
 *
 * ```js
 * import { test } from "node:test";
 * import assert from "node:assert/strict";
 * import { Harness } from "functionstream/testing";
 * import addOne from "./app.js";
 *
 * test("adds one", async () => {
 *   const harness = await Harness.start(addOne);
 *   await harness.send('{"money":2}');
 *   assert.deepEqual(harness.texts(), ['{"money":3}']);
 * });
 * ```
 *
 * @packageDocumentation
 */

import type { Bytes, Domain, Integer, Process, Processor, Record } from "./index.js";

/** A record that the function emitted. */
export interface Emitted {
  output: number;
  value: Uint8Array | null;
  key: Uint8Array | null;
  headers: [string, Uint8Array][];
  timestamp: Integer;
}

/** A record, or a timer, failed. The message is the error with its stack. */
export declare class RecordFailed extends Error {
  /** The index of the record in its batch, if it is known. */
  readonly record?: number;
}

/** What the function is told. */
export interface Options {
  /** The function's configuration. */
  config?: { [name: string]: unknown };
  /** The names of the outputs; one, `output`, if this is missing. */
  outputs?: string[];
  /** The number of input groups; 1 if this is missing. */
  inputs?: number;
}

/** A function under test. */
export declare class Harness {
  private constructor();

  /** Makes a function, and initializes it: a plain one, a class, an object with `process`, or the module that has one. */
  static start(target: Process | Processor | (new () => Processor) | object, options?: Options): Promise<Harness>;

  /** The function: the object of the class, or what was given. */
  get object(): any;

  /**
   * Processes a batch, then fires the timers that are due. `null` is a record with a null value.
   *
   * If a record fails, nothing of it has happened, all of those before it has, and those after it were not processed.
   */
  send(...records: (Bytes | Record | null)[]): Promise<void>;

  /** The same, of another input group than the first. */
  sendTo(source: number, ...records: (Bytes | Record | null)[]): Promise<void>;

  /** Raises the watermark of an input group. The timers of event time fire that are due; then the function is told. */
  watermark(watermark: Integer, source?: number): Promise<void>;

  /** Moves the machine's clock forward to a time in milliseconds since the Unix epoch; the timers fire that are due. */
  time(now: Integer): Promise<void>;

  /** Ends an epoch: what was emitted and written since the last checkpoint stays from now on. */
  checkpoint(number?: Integer): Promise<void>;

  /** Asks whether the function is well. If it is not, a new instance goes on from the last checkpoint. */
  heartbeat(): Promise<boolean>;

  /** Sends a request, and returns the answer. If the request fails, a new instance takes over, like on a server. */
  custom(payload: Bytes): Promise<Uint8Array>;

  /** Sends modules, each a `[name, bytes]`. */
  exec(className: string, modules?: [string, Bytes][]): Promise<void>;

  /** The last call of the instance. */
  close(): Promise<void>;

  /** Drops the instance as if the process had died. A new one goes on from the last checkpoint, and gets the inputs since then again. */
  restart(): Promise<void>;

  /** Returns what was emitted since the last call. */
  emitted(): Emitted[];

  /** Returns the values that were emitted since the last call, and forgets the rest. */
  values(): (Uint8Array | null)[];

  /** The same, as text. */
  texts(): (string | null)[];

  /** Returns the watermarks that were emitted since the last call. */
  watermarks(): { output: number; watermark: Integer }[];

  /** Returns the timers that are set, in the order of domain and time. */
  timers(): { domain: Domain; at: Integer; key: Uint8Array }[];

  /** Returns the state of a store, by complete keys in hexadecimal digits. */
  state(store: string): Map<string, Uint8Array>;
}
