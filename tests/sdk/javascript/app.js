// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

/** The conformance program by the JavaScript SDK: what tests/sdk/README.md says. */

import { EVENT_TIME, FunctionError, PROCESSING_TIME, Record } from "functionstream";
import {
  AggregatingState,
  ListState,
  MapState,
  PriorityQueueState,
  ReducingState,
  ValueState,
} from "functionstream/states";

const DOMAINS = { event: EVENT_TIME, processing: PROCESSING_TIME };

const text = (bytes) => new TextDecoder().decode(bytes);

/** Ends the instance where it stands. Nothing does that on purpose; what never ends is cut off at the limit of a call. */
function die() {
  for (;;) {}
}

/** Splits text at the first spaces into so many parts, of which the last goes on to the end, and those that are missing are empty. */
function split(line, count) {
  const parts = [];
  let rest = line;
  while (parts.length < count - 1) {
    const at = rest.indexOf(" ");
    parts.push(at < 0 ? rest : rest.slice(0, at));
    rest = at < 0 ? "" : rest.slice(at + 1);
  }
  return [...parts, rest];
}

function keys(store, start, end) {
  return ["keys", ...Array.from(store.keys(start, end), text)].join(" ");
}

/** The pairs of a range; an empty end is none. */
function pairs(store, start = "", end = "") {
  const found = Array.from(store.scan(start, end || undefined), ([key, value]) => `${text(key)}=${text(value)}`);
  return ["pairs", ...found].join(" ");
}

/** A record but for its value. */
function whole(record) {
  const key = record.key === null ? "no key" : `key=${record.keyText}`;
  const headers = record.headers.map(([name, value]) => ` ${name}=${text(value)}`).join("");
  return `record ${key} time=${record.timestamp}${headers}`;
}

function edit(part, what, key) {
  const later = (by) => String(Number(key.slice(0, 5)) + by).padStart(5, "0");
  if (what === "delete-ahead") {
    part.delete(later(1));
  } else if (what === "delete-here") {
    part.delete(key);
  } else if (what === "put-ahead" && key.endsWith("0")) {
    part.put(`${key}+`, "y");
  } else if (what === "merge-ahead" && key.endsWith("+")) {
    part.merge(later(2), "z");
  } else if (what === "prefix-ahead" && key.endsWith("000")) {
    part.deletePrefix(`${key.slice(0, 2)}5`);
  } else if (what === "put-behind") {
    part.put(`!${key}`, "b");
  }
}

/** The sum of numbers, and how many they are. */
const MEAN = {
  create: () => ({ sum: 0, n: 0 }),
  add: (value, { sum, n }) => ({ sum: sum + value, n: n + 1 }),
  result: ({ sum, n }) => `${sum}/${n}`,
  merge: (a, b) => ({ sum: a.sum + b.sum, n: a.n + b.n }),
};

function greater(reduced, following) {
  if (following < 0) {
    throw new RangeError(`${following} is refused`);
  }
  return Math.max(reduced, following);
}

const optional = (kind, value) => (value === undefined ? `${kind} absent` : `${kind}=${value}`);
const every = (kind, values) => [kind, ...values].join(" ");
const numbers = (words) => words.split(" ").map(Number);

/** The typed states, alone and by key. */
class States {
  constructor(ctx) {
    const both = (State, store, ...types) => [new State(ctx, store, ...types), State.keyed(ctx, store, ...types, { group: "g" })];
    this.kinds = {
      value: both(ValueState, "states", "string"),
      list: both(ListState, "states", "string"),
      numbers: both(ListState, "numbers", "int64"),
      map: both(MapState, "states", "int64", "string"),
      queue: both(PriorityQueueState, "states", "int64"),
      mean: both(AggregatingState, "states", "json", MEAN),
      greatest: both(ReducingState, "states", "int64", greater),
    };
  }

  at(kind, key) {
    if (!Object.hasOwn(this.kinds, kind)) {
      throw new Error(`there is no state '${kind}'`);
    }
    const [alone, keyed] = this.kinds[kind];
    return key === "-" ? alone : keyed(key, "n");
  }

  /** Carries out KIND KEY OPERATION ARGUMENT; returns what is to be emitted. */
  run(command) {
    const [kind, key, operation, rest] = split(command, 4);
    const state = this.at(kind, key);
    const [number, word] = split(rest, 2);
    switch (`${kind} ${operation}`) {
      case "value set":
        return void state.set(rest);
      case "list add":
        return void state.add(rest);
      case "list add-all":
        return void state.add(...rest.split(" "));
      case "list set":
        return void state.set(rest.split(" "));
      case "numbers add-all":
        return void state.add(...numbers(rest));
      case "numbers set":
        return void state.set(numbers(rest));
      case "map put":
        return void state.put(Number(number), word);
      case "map fill":
        for (let i = 0; i < Number(number); i++) {
          state.put(i, word);
        }
        return undefined;
      case "map delete":
        return void state.delete(Number(rest));
      case "map get":
        return optional(kind, state.get(Number(rest)));
      case "map thin": {
        let seen = 0;
        for (const [entry] of state) {
          state.delete(entry + 1);
          seen++;
        }
        return `map thinned ${seen}`;
      }
      case "queue peek":
        return optional(kind, state.peek());
      case "queue poll":
        return optional(kind, state.poll());
      case "mean merge":
        return void state.merge(this.at(kind, rest));
      default:
    }
    if (operation === "clear") {
      return void state.clear();
    }
    if (operation === "add") {
      return void state.add(Number(rest));
    }
    switch (kind) {
      case "map":
        return every(kind, Array.from(state, ([entry, value]) => `${entry}=${value}`));
      case "list":
      case "numbers":
        return every(kind, state.get());
      case "queue":
        return every(kind, state);
      default:
        return optional(kind, state.get());
    }
  }
}

export default class Conformance {
  init(ctx) {
    if ("fail" in ctx.config) {
      throw new Error(ctx.config.fail);
    }
    this.store = ctx.store("s");
    this.states = new States(ctx);
    this.records = 0;
    this.sick = false;
  }

  part(name) {
    return this.store.part("g", name, "n");
  }

  process(record, ctx) {
    this.records++;
    if (record.value === null) {
      ctx.emit("null");
      return;
    }
    for (const line of record.text.split("\n")) {
      this.answer(ctx, record, line);
    }
  }

  answer(ctx, record, line) {
    const answer = this.run(ctx, record, line);
    if (answer !== undefined) {
      ctx.emit(answer);
    }
  }

  run(ctx, record, line) {
    const [name, rest] = split(line, 2);
    const [one, second, third] = split(rest, 3);
    const [two, last] = split(rest, 2);
    const told = (store, key) => optional(key, store.getText(key));
    switch (name) {
      case "":
        return "empty";
      case "emit":
        return void ctx.emit(last, { output: Number(two) });
      case "state":
        return this.states.run(rest);
      case "record":
        return whole(record);
      case "pass":
        return void ctx.emit(rest, { key: record.key, headers: record.headers, timestamp: record.timestamp });
      case "emit-record": {
        const [header, value] = split(third, 2);
        const [of, content] = header.split("=");
        return void ctx.emit(value, { key: one, headers: { [of]: content }, timestamp: Number(second) });
      }
      case "tombstone":
        return void ctx.emit(null, { key: rest });
      case "metadata":
        return `metadata ${ctx.metadata.taskIndex} ${ctx.metadata.outputs.length}`;
      case "emit-null":
        return void ctx.emit(null, { output: Number(rest) });
      case "watermark":
        return void ctx.emitWatermark(Number(last), Number(two));
      case "open":
        return this.open(ctx, two === "long" ? "n".repeat(Number(last)) : rest);
      case "timer":
        return void ctx.setTimer(DOMAINS[one], third, BigInt(second));
      case "untimer":
        return void ctx.deleteTimer(DOMAINS[two], last);
      case "long-timer":
        return this.longTimer(ctx, Number(rest));
      case "source":
        return `source ${record.source}`;
      case "field":
        return `field ${this.records}`;
      case "garbage":
        return void new Uint8Array(Number(rest));
      case "sick":
        this.sick = true;
        return undefined;
      case "fail":
      case "panic":
        throw new Error(rest);
      case "die":
        return die();
      // What follows is about state.
      case "put":
        return void this.store.put(two, last);
      case "delete":
        return void this.store.delete(rest);
      case "get":
        return told(this.store, rest);
      case "list":
        return keys(this.store, two, last);
      case "list-from":
        return keys(this.store, rest);
      case "large":
        return void this.store.put(two, "x".repeat(Number(last)));
      case "size":
        return `size ${this.store.get(rest)?.length ?? 0}`;
      case "other":
        return void ctx.store(one).put(second, third);
      case "cput":
        return void this.part(one).put(second, third);
      case "merge":
        return void this.part(one).merge(second, third);
      case "cdelete":
        return void this.part(two).delete(last);
      case "cget":
        return told(this.part(two), last);
      case "cprefix":
        return void this.part(two).deletePrefix(last);
      case "clist":
        return keys(this.part(one), second, third);
      case "clist-from":
        return keys(this.part(two), last);
      case "scan":
        return pairs(this.part(rest));
      case "scan-range":
        return pairs(this.store, two, last);
      case "cscan-range":
        return pairs(this.part(one), second, third);
      case "delete-range":
        return void this.store.deleteRange(two, last || undefined);
      case "cdelete-range":
        return void this.part(one).deleteRange(second, third || undefined);
      case "merge-simple":
        return void this.store.merge(two, last);
      case "walk":
        return this.walk(this.part(two), last);
      case "fill":
        for (let i = 0; i < Number(second); i++) {
          this.part(one).put(String(i).padStart(5, "0"), "x".repeat(Number(third)));
        }
        return undefined;
      case "count": {
        const sizes = Array.from(this.part(rest).scan(), ([, value]) => value.length);
        return `count ${sizes.length} ${sizes.reduce((sum, size) => sum + size, 0)}`;
      }
      default:
        throw new Error(`the command '${name}' is not known`);
    }
  }

  walk(part, what) {
    let [met, size] = [0, 0];
    for (const [key, value] of part.scan()) {
      met++;
      size += value.length;
      edit(part, what, text(key));
    }
    return `walked ${met} ${size}`;
  }

  open(ctx, name) {
    try {
      ctx.store(name);
    } catch (error) {
      if (error instanceof FunctionError) {
        return "refused";
      }
      throw error;
    }
    return "opened";
  }

  longTimer(ctx, size) {
    try {
      ctx.setTimer(EVENT_TIME, "k".repeat(size), 2n ** 63n - 1n);
    } catch (error) {
      if (error instanceof FunctionError) {
        return "refused";
      }
      throw error;
    }
    return "set";
  }

  onTimer(timer, ctx) {
    const key = timer.keyText;
    ctx.emit(`fired ${["event", "processing"][timer.domain]} ${timer.at} ${key}`);
    const command = this.store.getText(`on:${key}`);
    if (command !== undefined) {
      this.answer(ctx, new Record(null), command);
    }
  }

  processWatermark(source, watermark, ctx) {
    ctx.emitWatermark(watermark);
  }

  takeCheckpoint(checkpoint) {
    this.store.put("checkpoint", String(checkpoint));
  }

  checkHeartbeat() {
    return !this.sick;
  }

  exec(className, modules) {
    this.store.put("exec", [className, ...modules.map(({ name, bytes }) => `${name}=${text(bytes)}`)].join(" "));
  }

  custom(payload) {
    const request = text(payload);
    if (request === "fail") {
      throw new Error("refused");
    }
    if (request === "die") {
      die();
    }
    return `custom ${request}`;
  }
}
