// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

/**
 * Functions for Function Stream, written in JavaScript or TypeScript.
 *
 * The shortest function takes a record and returns what is to be emitted:
 *
 * ```js
 * export default function addOne(record) {
 *   const event = record.json();
 *   event.money += 1;
 *   return event;
 * }
 * ```
 *
 * A class can do more: keep state, set timers, answer requests, see {@link Processor}. The states are in `functionstream/states`,
 * and `functionstream/testing` runs a function in the tests of its own project.
 *
 * @packageDocumentation
 */

/** The domain of timers that follow the function's watermark. */
export declare const EVENT_TIME: 0;

/** The domain of timers that follow the machine's clock. */
export declare const PROCESSING_TIME: 1;

/** The clock that a timer follows. */
export type Domain = typeof EVENT_TIME | typeof PROCESSING_TIME;

/** Bytes, or text that stands for its UTF-8. */
export type Bytes = string | Uint8Array | ArrayBuffer | ArrayBufferView;

/** An integer of 64 bits: a number if it is a safe one, else a bigint. Either is taken. */
export type Integer = number | bigint;

/** Headers to emit: `[name, value]` pairs, or an object. */
export type Headers = Iterable<readonly [string, Bytes]> | { readonly [name: string]: Bytes };

/** What of a record may be said beside its value. */
export interface RecordOptions {
  /** The key; none if it is null or missing. */
  key?: Bytes | null;
  /** The headers. */
  headers?: Headers;
}

/** What of an emitted record may be said beside its value. */
export interface EmitOptions extends RecordOptions {
  /** The index of the output; 0 if it is missing. */
  output?: number;
  /** Milliseconds since the Unix epoch; those of the record in process if it is missing. */
  timestamp?: Integer;
}

/** An event that the function is given. */
export declare class Record {
  /** Makes a record, for tests. */
  constructor(value: Bytes | null, options?: RecordOptions & { timestamp?: Integer; source?: number });

  /** Milliseconds since the Unix epoch. */
  readonly timestamp: Integer;

  /** The index of the input group. */
  readonly source: number;

  /** The value; null for a null value, which is not the same as an empty one. */
  get value(): Uint8Array | null;

  /** The value as text. Throws if it is null, or not UTF-8. */
  get text(): string;

  /** Returns the value, read as JSON. Throws if it is null, or no JSON. */
  json(): any;

  /** The key; null if there is none. */
  get key(): Uint8Array | null;

  /** The key as text. Throws if it is not UTF-8. */
  get keyText(): string | null;

  /** The headers, as `[name, value]` pairs in their order. Names may repeat. */
  get headers(): [string, Uint8Array][];

  /** Returns the value of the first header of that name, or null. */
  header(name: string): Uint8Array | null;
}

/** A record to emit, for functions that return more than a value. */
export declare class Output {
  constructor(value: Emittable | null, options?: EmitOptions);

  readonly value: Emittable | null;

  readonly options: EmitOptions;
}

/** A timer that is due. It is not set any more. */
export declare class Timer {
  readonly domain: Domain;

  readonly key: Uint8Array;

  /** The time for which it was set, in milliseconds since the Unix epoch. */
  readonly at: Integer;

  /** The key as text. Throws if it is not UTF-8. */
  get keyText(): string;
}

/** The host refused something, or the SDK was used in a way that it does not allow. */
export declare class FunctionError extends Error {}

/** Facts about the function and its task. */
export interface Metadata {
  /** The name of the function. */
  readonly name: string;
  /** Its revision. */
  readonly revision: Integer;
  /** The index of the task that this instance serves. */
  readonly taskIndex: number;
  /** The names of the outputs. */
  readonly outputs: readonly string[];
}

/** What can be emitted: text and bytes as they are, anything else as JSON. */
export type Emittable = Bytes | number | boolean | object;

/** Emits records, opens stores, and sets timers. */
export interface Context {
  /** Facts about the function and its task. */
  readonly metadata: Metadata;

  /** The function's own configuration. */
  readonly config: { readonly [name: string]: string };

  /** Emits a record. `null` is a null value. */
  emit(value: Emittable | null, options?: EmitOptions): void;

  /** Promises an output that no record older than the watermark (milliseconds since the Unix epoch) will follow. */
  emitWatermark(watermark: Integer, output?: number): void;

  /**
   * Sets the timer with that domain and key to a time in milliseconds since the Unix epoch, or moves it there.
   *
   * `onTimer` is called once when it is due. If the time has come already, that is as soon as the call is over. Timers belong to the
   * epoch, like state: a timer that a failed call sets is not set.
   */
  setTimer(domain: Domain, key: Bytes, at: Integer): void;

  /** Deletes a timer. Does nothing if the timer is not set. */
  deleteTimer(domain: Domain, key: Bytes): void;

  /** Opens the store of the task with that name, which must be 1 to 255 bytes. A name always gives the same store. */
  store(name: string): Store;
}

/**
 * An ordered map from bytes to bytes, or a part of one. Keys and values may be given as text, which is kept in UTF-8.
 *
 * Writes become durable together with the records that caused them, and a function reads its own writes. An absent key (undefined)
 * is not the same as an empty value.
 */
export declare class Store {
  private constructor();

  /** Returns the part of this store for a key group, a key and a namespace. It shares no key with any other. */
  part(keyGroup: Bytes, key: Bytes, namespace: Bytes): Store;

  /** Returns the value of a key, or undefined if the key is absent. */
  get(key: Bytes): Uint8Array | undefined;

  /** Returns the value of a key as text, or undefined if the key is absent. */
  getText(key: Bytes): string | undefined;

  /** Stores a value. */
  put(key: Bytes, value: Bytes): void;

  /** Removes a key. Does nothing if the key is absent. */
  delete(key: Bytes): void;

  /** Appends bytes to a key's value without reading it. An absent value counts as empty. */
  merge(key: Bytes, operand: Bytes): void;

  /** Removes the keys from `start`, inclusive, to `end`, exclusive, or to the last key. */
  deleteRange(start: Bytes, end?: Bytes): void;

  /** Removes all keys that begin with these bytes. */
  deletePrefix(prefix: Bytes): void;

  /**
   * Yields the `[key, value]` pairs from `start`, inclusive, to `end`, exclusive, or to the last key, in byte order.
   *
   * A page is read at a time, so a scan of millions of pairs needs little memory. A function that writes while it scans meets what it
   * has put ahead, and does not meet what it has deleted.
   */
  scan(start?: Bytes, end?: Bytes): Generator<[Uint8Array, Uint8Array], void>;

  /** Yields the keys of a range, like `scan`. */
  keys(start?: Bytes, end?: Bytes): Generator<Uint8Array, void>;
}

/**
 * What a function returns: it is emitted, unless it is undefined or null. A generator has each of what it yields emitted.
 */
export type Result = Emittable | Output | null | undefined | void;

/** The same of functions that are async, or generators. */
export type Results =
  | Result
  | Promise<Result>
  | Generator<Result, void, undefined>
  | AsyncGenerator<Result, void, undefined>;

/** A plain function. */
export type Process = (record: Record, ctx: Context) => Results;

/**
 * A function as a class, `export default class … implements Processor`. Only `process` must be there, and any method may be async.
 * A module that exports functions with these names is the same. What throws in `process` fails the record, which then leaves nothing
 * in state and outputs.
 *
 * Fields live as long as the instance, which is replaced after a failure, a restart and an update. What has to last belongs into
 * state.
 */
export interface Processor {
  /** Called once, before anything else: the place to open stores. */
  init?(ctx: Context): void | Promise<void>;

  /** Processes a record. What it returns or yields is emitted. */
  process(record: Record, ctx: Context): Results;

  /** Handles a timer that is due. What it returns or yields is emitted. */
  onTimer?(timer: Timer, ctx: Context): Results;

  /** No input is expected to bring a record older than `watermark`; `source` held it back until now. */
  processWatermark?(source: number, watermark: Integer, ctx: Context): void | Promise<void>;

  /** The end of an epoch. What is emitted and written here belongs to it. */
  takeCheckpoint?(checkpoint: Integer, ctx: Context): void | Promise<void>;

  /** Returns whether the function is well. If it is not, a new instance goes on from the last commit. */
  checkHeartbeat?(ctx: Context): boolean | Promise<boolean>;

  /** The last call of an instance. */
  close?(ctx: Context): void | Promise<void>;

  /** Receives modules from a user of the function. */
  exec?(className: string, modules: { name: string; bytes: Uint8Array }[], ctx: Context): void | Promise<void>;

  /** Answers a request from a user of the function. Without it the request is the answer. */
  custom?(payload: Uint8Array, ctx: Context): Bytes | Promise<Bytes>;
}
