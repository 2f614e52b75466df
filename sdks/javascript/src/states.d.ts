// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

/**
 * Typed states: a value, a list, a map, a priority queue, an aggregate, a reduction.
 *
 * Each is made in `init`, from the context, the name of a store, and the types of what it keeps:
 *
 * ```js
 * this.total = new ValueState(ctx, "total", "int64");
 * this.counts = new MapState(ctx, "counts", "string", "int64");
 * ```
 *
 * A store has one state of each kind. For a state for each of many keys, make a factory, and ask it for the state of a key and, if you
 * like, a namespace:
 *
 * ```js
 * this.clicks = ListState.keyed(ctx, "clicks", "string", { group: "by-user" });
 * // in process:
 * this.clicks(user, session).add(page);
 * ```
 *
 * @packageDocumentation
 */

import type { Bytes, Context } from "./index.js";
import type { Of, Type } from "./codecs.js";

/** Gives the state of a key, and of a namespace if need be. That costs next to nothing: ask it for each record. */
export type Keyed<S> = (key: Bytes, namespace?: Bytes) => S;

/** What may be said of a factory: the key group, which is empty if it is missing. */
export interface KeyedOptions {
  group?: Bytes;
}

/** One value. */
export declare class ValueState<const C extends Type> {
  constructor(ctx: Context, store: string, type: C);
  static keyed<const C extends Type>(ctx: Context, store: string, type: C, options?: KeyedOptions): Keyed<ValueState<C>>;

  /** Returns the value, or undefined if there is none. */
  get(): Of<C> | undefined;

  /** Stores the value. */
  set(value: Of<C>): void;

  /** Removes the value. */
  clear(): void;
}

/** A list, kept as one value. Adding appends without reading. */
export declare class ListState<const C extends Type> {
  constructor(ctx: Context, store: string, type: C);
  static keyed<const C extends Type>(ctx: Context, store: string, type: C, options?: KeyedOptions): Keyed<ListState<C>>;

  /** Appends values. */
  add(...values: Of<C>[]): void;

  /** Returns all of it. */
  get(): Of<C>[];

  /** Replaces all of it. */
  set(values: Iterable<Of<C>>): void;

  /** Removes all of it. */
  clear(): void;
}

/** A map, whose entries are kept one by one, in the order of their encoded keys. */
export declare class MapState<const K extends Type, const V extends Type> {
  constructor(ctx: Context, store: string, keyType: K, valueType: V);
  static keyed<const K extends Type, const V extends Type>(
    ctx: Context,
    store: string,
    keyType: K,
    valueType: V,
    options?: KeyedOptions,
  ): Keyed<MapState<K, V>>;

  /** Returns the value of a key, or undefined if it has none. */
  get(key: Of<K>): Of<V> | undefined;

  /** Stores the value of a key. */
  put(key: Of<K>, value: Of<V>): void;

  /** Returns whether a key has a value. */
  has(key: Of<K>): boolean;

  /** Removes a key. */
  delete(key: Of<K>): void;

  /** Yields the keys with their values. */
  entries(): Generator<[Of<K>, Of<V>], void>;

  /** Yields the keys. */
  keys(): Generator<Of<K>, void>;

  /** Yields the keys with their values. */
  [Symbol.iterator](): Generator<[Of<K>, Of<V>], void>;

  /** Removes all entries. */
  clear(): void;
}

/** A set of values, the least of which comes first. Its type must have an order. */
export declare class PriorityQueueState<const C extends Type> {
  constructor(ctx: Context, store: string, type: C);
  static keyed<const C extends Type>(
    ctx: Context,
    store: string,
    type: C,
    options?: KeyedOptions,
  ): Keyed<PriorityQueueState<C>>;

  /** Adds a value. Adding it twice has no effect. */
  add(value: Of<C>): void;

  /** Returns the least value, or undefined if there is none. */
  peek(): Of<C> | undefined;

  /** Removes and returns the least value, or returns undefined if there is none. */
  poll(): Of<C> | undefined;

  /** Yields the values in their order. */
  [Symbol.iterator](): Generator<Of<C>, void>;

  /** Removes all values. */
  clear(): void;
}

/** How values are gathered into an accumulator, and what it stands for. */
export interface Aggregate<V = any, A = any, R = A> {
  /** Returns the accumulator of no values. */
  create(): A;

  /** Returns the accumulator with a value added. */
  add(value: V, accumulator: A): A;

  /** Returns what the accumulator stands for; itself if this is missing. */
  result?(accumulator: A): R;

  /** Returns the accumulator of the values of both. Only states that are merged need it. */
  merge?(a: A, b: A): A;
}

/** An aggregate of values, of which only the accumulator is kept. */
export declare class AggregatingState<V = any, R = any> {
  constructor(ctx: Context, store: string, accumulatorType: Type, aggregate: Aggregate<V, any, R>);
  static keyed<V, R>(
    ctx: Context,
    store: string,
    accumulatorType: Type,
    aggregate: Aggregate<V, any, R>,
    options?: KeyedOptions,
  ): Keyed<AggregatingState<V, R>>;

  /** Adds a value. */
  add(value: V): void;

  /** Returns the result, or undefined if nothing was added. */
  get(): R | undefined;

  /** Adds the values of another state of the same aggregate, which keeps them. */
  merge(other: AggregatingState<V, R>): void;

  /** Removes the accumulator. */
  clear(): void;
}

/** Values reduced to one. */
export declare class ReducingState<const C extends Type> {
  constructor(ctx: Context, store: string, type: C, reduce: (reduced: Of<C>, next: Of<C>) => Of<C>);
  static keyed<const C extends Type>(
    ctx: Context,
    store: string,
    type: C,
    reduce: (reduced: Of<C>, next: Of<C>) => Of<C>,
    options?: KeyedOptions,
  ): Keyed<ReducingState<C>>;

  /** Adds a value. The first one is the result itself. */
  add(value: Of<C>): void;

  /** Returns the value, or undefined if nothing was added. */
  get(): Of<C> | undefined;

  /** Removes the value. */
  clear(): void;
}
