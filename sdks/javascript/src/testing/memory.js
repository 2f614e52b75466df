// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

/** The host's side, in memory. */

import { CachedStore } from "../cache.js";
import { FunctionError } from "../errors.js";
import { build, MOST_BYTES, read, readHeaders, Rows } from "../frame.js";
import { DELETE, MERGE, PUT } from "../lists.js";
import { Store } from "../store.js";
import { binary, encode, unbinary } from "../text.js";

// The longest key of a timer in bytes.
const MOST_TIMER_KEY = 64 << 10;

/** The outside of a function. What a failed call must leave as it was is in `world`. */
export class Memory {
  stores = [];
  world = new World();

  rows() {
    return new Rows(MOST_BYTES);
  }

  emit(rows) {
    for (const { timestamp, channel, key, headers, value } of read(build(rows))) {
      this.world.output.push({ output: channel, value, key, headers: readHeaders(headers), timestamp });
    }
  }

  emitWatermark(output, watermark) {
    this.world.watermarks.push({ output, watermark });
  }

  setTimer(domain, key, at) {
    checkTimerKey(key);
    const { reached, turn } = this.world;
    const hasCome = reached[domain] !== undefined && at <= reached[domain];
    this.world.timers.set(`${domain}${binary(key)}`, { domain, key: binary(key), at, turn: hasCome ? turn : null });
  }

  deleteTimer(domain, key) {
    checkTimerKey(key);
    this.world.timers.delete(`${domain}${binary(key)}`);
  }

  store(context, name) {
    return new Store(new CachedStore(context, this.open(name)));
  }

  open(name) {
    const { length } = encode(name);
    if (length < 1 || length > 255) {
      throw new FunctionError(`a store name has ${length} bytes, not 1 to 255`);
    }
    if (!this.stores.includes(name)) {
      this.stores.push(name);
    }
    return this.stores.indexOf(name);
  }

  get(store, key) {
    return this.world.stateOf(store).get(key);
  }

  write(store, ops) {
    const state = this.world.stateOf(store);
    for (const { kind, key, value } of ops) {
      if (kind === PUT) {
        state.set(key, value);
      } else if (kind === DELETE) {
        state.delete(key);
      } else if (kind === MERGE) {
        state.set(key, new Uint8Array([...(state.get(key) ?? []), ...value]));
      } else {
        const end = binary(value);
        for (const known of [...state.keys()]) {
          if (key <= known && (end === "" || known < end)) {
            state.delete(known);
          }
        }
      }
    }
  }

  scan(store, start, end, mostBytes) {
    const state = this.world.stateOf(store);
    const keys = [...state.keys()].filter((key) => key >= start && (end === undefined || key < end)).sort();
    const pairs = [];
    let size = 0;
    for (const key of keys) {
      const value = state.get(key);
      if (pairs.length > 0 && size + key.length + value.length > mostBytes) {
        return [pairs, key];
      }
      size += key.length + value.length;
      pairs.push([key, value]);
    }
    return [pairs, undefined];
  }
}

/** What a failed call must leave as it was. */
export class World {
  output = [];
  watermarks = [];
  // When each timer is due, and its turn in the queue if its time had come when it was set.
  timers = new Map();
  // The time of each domain that has come: a timer that is set for it or an earlier one waits in the queue.
  reached = [undefined, undefined];
  // The turn of those that are queued now.
  turn = 0;
  states = [];

  stateOf(store) {
    return (this.states[store] ??= new Map());
  }

  copy() {
    const made = new World();
    made.output = [...this.output];
    made.watermarks = [...this.watermarks];
    made.timers = new Map(this.timers);
    made.reached = [...this.reached];
    made.turn = this.turn;
    made.states = this.states.map((state) => new Map(state));
    return made;
  }

  /** The timers of a domain that are due at a time and not queued, in the order of their times. */
  due(domain, now) {
    return this.find(domain, ({ at, turn }) => turn === null && at <= now);
  }

  /** The timers of the queue of a domain up to a turn, in the order of their times. */
  queued(domain, last) {
    return this.find(domain, ({ turn }) => turn !== null && turn <= last);
  }

  find(domain, wanted) {
    const found = [...this.timers.values()].filter((timer) => timer.domain === domain && wanted(timer));
    return found.sort((a, b) => (a.at < b.at ? -1 : a.at > b.at ? 1 : a.key < b.key ? -1 : 1));
  }
}

/** Returns a map of keys as binary text with keys as bytes in hexadecimal digits. */
export function hexKeys(state) {
  const hex = (key) => [...unbinary(key)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return new Map([...state].sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, value]) => [hex(key), value]));
}

function checkTimerKey(key) {
  if (key.length > MOST_TIMER_KEY) {
    throw new FunctionError(`a timer's key has ${key.length} bytes, more than ${MOST_TIMER_KEY}`);
  }
}
