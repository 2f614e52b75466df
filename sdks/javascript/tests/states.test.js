// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

/** Typed states beside a model of them, through restarts and records that fail; and what is told of mistakes. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { codecOf } from "functionstream/codecs";
import {
  AggregatingState,
  ListState,
  MapState,
  PriorityQueueState,
  ReducingState,
  ValueState,
} from "functionstream/states";
import { Harness } from "functionstream/testing";

/** Numbers that look like random ones, the same each time. */
function* numbers(seed) {
  for (let state = seed; ; ) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    yield state >>> 8;
  }
}

/** A function that carries out commands on its states, and on ordinary values, and compares what they are. */
class Model {
  init(ctx) {
    this.value = ValueState.keyed(ctx, "s", "string", { group: "g" });
    this.list = ListState.keyed(ctx, "s", "string", { group: "g" });
    this.map = MapState.keyed(ctx, "s", "int32", "json", { group: "g" });
    this.queue = PriorityQueueState.keyed(ctx, "s", "float64", { group: "g" });
    this.sum = AggregatingState.keyed(ctx, "s", "bigint", { create: () => 0n, add: (a, b) => a + b }, { group: "g" });
    this.most = ReducingState.keyed(ctx, "s", "uint16", Math.max, { group: "g" });
  }

  process(record, ctx) {
    const { key, operation, n, fails } = record.json();
    const [map, queue, list] = [this.map(key), this.queue(key), this.list(key)];
    const operations = [
      () => this.value(key).set(`v${n}`), () => this.value(key).clear(),
      () => list.add(`l${n}`, ""), () => list.set([`s${n}`]), () => list.clear(),
      () => map.put(n - 50, { n }), () => map.delete(n - 50), () => map.clear(),
      () => queue.add(n / 4), () => queue.poll(), () => queue.clear(),
      () => this.sum(key).add(BigInt(n)), () => this.most(key).add(n), () => this.sum(key).clear(),
    ];
    operations[operation % operations.length]();
    if (fails) {
      throw new Error("as told");
    }
    ctx.emit([
      this.value(key).get() ?? null, list.get(), [...map], [...queue], queue.peek() ?? null,
      String(this.sum(key).get()), this.most(key).get() ?? null,
    ]);
  }
}

/** The same with what JavaScript has. */
function modelled(models, { key, operation, n }) {
  const at = (models[key] ??= { value: null, list: [], map: new Map(), queue: new Set(), sum: undefined, most: null });
  const least = () => Math.min(...at.queue);
  const operations = [
    () => (at.value = `v${n}`), () => (at.value = null),
    () => at.list.push(`l${n}`, ""), () => (at.list = [`s${n}`]), () => (at.list = []),
    () => at.map.set(n - 50, { n }), () => at.map.delete(n - 50), () => at.map.clear(),
    () => at.queue.add(n / 4), () => at.queue.delete(least()), () => at.queue.clear(),
    () => (at.sum = (at.sum ?? 0n) + BigInt(n)), () => (at.most = Math.max(at.most ?? 0, n)), () => (at.sum = undefined),
  ];
  operations[operation % operations.length]();
  return JSON.stringify([
    at.value, at.list, [...at.map].sort(([a], [b]) => a - b), [...at.queue].sort((a, b) => a - b),
    at.queue.size > 0 ? least() : null, String(at.sum), at.most,
  ]);
}

test("states are what a model of them is", async () => {
  for (const seed of [1, 2, 3]) {
    const [harness, models, random] = [await Harness.start(Model), {}, numbers(seed)];
    const next = (most) => random.next().value % most;
    for (let step = 0; step < 300; step++) {
      const commands = Array.from({ length: 1 + next(5) }, () => ({ key: ["a", "b", ""][next(3)], operation: next(14), n: next(100) }));
      const failing = { ...commands[0], operation: next(14), fails: true };
      await assert.rejects(harness.send(...[...commands, failing].map((command) => JSON.stringify(command))), /as told/);
      assert.deepEqual(harness.texts(), commands.map((command) => modelled(models, command)), `seed ${seed}, step ${step}`);
      if (next(10) === 0) {
        await harness.checkpoint();
      }
      if (next(10) === 0) {
        await harness.restart();
        harness.emitted();
      }
    }
  }
});

test("integers beyond the safe ones are bigints, and those that do not fit are refused", () => {
  const int64 = codecOf("int64");
  assert.equal(int64.decode(int64.encode(2n ** 62n)), 2n ** 62n);
  assert.equal(int64.decode(int64.encode(5n)), 5);
  assert.equal(codecOf("bigint").decode(int64.encode(5)), 5n);
  for (const [name, value, told] of [
    ["int8", 128, "128 does not fit into 'int8'"], ["uint64", -1, "-1 does not fit into 'uint64'"],
    ["int64", 2n ** 63n, "9223372036854775808 does not fit into 'int64'"], ["int64", 1.5, "the codec 'int64' takes integers, not 1.5"],
    ["string", 5, "the codec 'string' takes text, not number"], ["float64", "1", "the codec 'float64' takes numbers, not string"],
    ["json", undefined, "the codec 'json' takes what JSON has, not undefined"],
  ]) {
    assert.throws(() => codecOf(name).encode(value), { message: told });
  }
  assert.throws(() => codecOf("bool").decode(new Uint8Array([2])), { message: "the byte 2 is no encoded bool" });
  assert.throws(() => int64.decode(new Uint8Array(3)), { message: "the codec 'int64' takes 8 bytes, not 3" });
});

test("mistakes with the types of states are told when they are made", async () => {
  for (const [make, told] of [
    [(ctx) => new ValueState(ctx, "s", "int"), /^TypeError: 'int' is no type of a state: it is one of bool, int8, /],
    [(ctx) => new ValueState(ctx, "s", Number), /^TypeError: function is no type of a state/],
    [(ctx) => PriorityQueueState.keyed(ctx, "s", "json"), /^TypeError: a priority queue needs a codec with an order, which 'json' has not/],
    [(ctx) => new ReducingState(ctx, "s", "int64"), /^TypeError: a reducing state needs its function/],
    [(ctx) => AggregatingState.keyed(ctx, "s", "json", {}), /^TypeError: an aggregating state needs its aggregate/],
  ]) {
    await assert.rejects(Harness.start({ init: make, process() {} }), ({ message }) => told.test(message));
  }
});
