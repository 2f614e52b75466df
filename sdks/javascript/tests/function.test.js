// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

/** What a function is given, what becomes of what it returns, and what is told of its mistakes, in the test kit. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { EVENT_TIME, FunctionError, Output, PROCESSING_TIME, Record } from "functionstream";
import { Harness, RecordFailed } from "functionstream/testing";

const bytes = (...values) => new Uint8Array(values);

/** What a plain function emits for a record. */
async function emittedFor(run, record = "x", options = {}) {
  const harness = await Harness.start(run, options);
  await harness.send(record);
  return harness.emitted();
}

/** What is told of a function's mistake. */
async function mistake(run, record = "x") {
  const harness = await Harness.start(run);
  const failed = await harness.send(record).then(() => assert.fail("it does not fail"), (error) => error);
  assert.ok(failed instanceof RecordFailed, failed.stack);
  assert.deepEqual(harness.emitted(), []);
  return failed.message;
}

test("what is returned is emitted in its form", async () => {
  for (const [returned, text] of [
    ["text", "text"], [{ a: [1] }, '{"a":[1]}'], [[1, "b"], '[1,"b"]'], [5.5, "5.5"], [false, "false"], [bytes(65, 66), "AB"],
    [bytes(65, 66).buffer, "AB"], [new Date(0), '"1970-01-01T00:00:00.000Z"'], ["", ""], [Promise.resolve("later"), "later"],
  ]) {
    const harness = await Harness.start(() => returned);
    await harness.send("x");
    assert.deepEqual(harness.texts(), [text]);
  }
});

test("what is undefined or null is not emitted, and what is yielded is, each", async () => {
  assert.deepEqual(await emittedFor(() => undefined), []);
  assert.deepEqual(await emittedFor(() => null), []);
  const texts = async (run) => (await emittedFor(run)).map(({ value }) => String.fromCharCode(...value));
  assert.deepEqual(await texts(function* () { yield "a"; yield undefined; yield "b"; }), ["a", "b"]);
  assert.deepEqual(await texts(async function* () { yield "a"; await null; yield "b"; }), ["a", "b"]);
});

test("an output has its own key, headers, time and place", async () => {
  const output = new Output({ a: 1 }, { output: 1, key: "k", headers: [["h", "1"], ["h", bytes(2)]], timestamp: 7 });
  assert.deepEqual(await emittedFor(() => output, new Record("x", { timestamp: 3 }), { outputs: ["a", "b"] }), [
    { output: 1, value: new TextEncoder().encode('{"a":1}'), key: bytes(107), headers: [["h", bytes(49)], ["h", bytes(2)]], timestamp: 7 },
  ]);
  const [emitted] = await emittedFor(() => new Output(null), new Record("x", { timestamp: 3 }));
  assert.deepEqual([emitted.value, emitted.key, emitted.timestamp], [null, null, 3]);
});

test("a record has all of its parts", async () => {
  const seen = [];
  const record = new Record('{"é":1}', { key: bytes(0xc3, 0xa9), headers: { h: "1", i: "" }, timestamp: 2n ** 60n, source: 2 });
  await emittedFor((given) => void seen.push(given), record);
  const [given] = seen;
  assert.ok(given instanceof Record);
  assert.deepEqual([given.text, given.json(), given.keyText, given.timestamp, given.source], ['{"é":1}', { é: 1 }, "é", 2n ** 60n, 2]);
  assert.deepEqual([given.header("h"), given.header("j"), given.headers.length], [bytes(49), null, 2]);
  assert.match(await mistake((given) => given.text, null), /^TypeError: the record's value is null/);
  assert.match(await mistake((given) => given.text, bytes(0xff)), /^TypeError: /);
});

test("a function is a plain one, a class, an object, or a module", async () => {
  class Class {
    n = 0;
    process(record) {
      return `${record.text}${++this.n}`;
    }
  }
  const module = await import("data:text/javascript,let n = 0; export function process(record) { return record.text + ++n; }");
  for (const target of [Class, new Class(), { n: 0, process(record) { return record.text + ++this.n; } }, module]) {
    const harness = await Harness.start(target);
    await harness.send("a", "b");
    assert.deepEqual(harness.texts(), ["a1", "b2"]);
  }
  for (const [target, told] of [
    [5, "the function is no function: export a function, a class with 'process', or an object with it"],
    [class {}, "the function is a class without 'process'"],
    [await import("data:text/javascript,export const x = 1"), /^'the module' exports no function: write /],
    [
      await import("data:text/javascript,export class A { process() {} } export class B { process() {} }"),
      "'the module' exports 2 classes, 'A' and 'B': name one by the setting 'class_name', or export it by default",
    ],
  ]) {
    await assert.rejects(Harness.start(target), { message: told });
  }
});

test("an error is told with the user's own frames, and its causes", async () => {
  function inner() {
    throw new RangeError("inner");
  }
  const told = await mistake(() => {
    try {
      inner();
    } catch (cause) {
      throw new Error("outer", { cause });
    }
  });
  assert.match(told, /^Error: outer\n  at .*function\.test\.js:\d+:\d+/);
  assert.match(told, /\nCaused by: RangeError: inner\n  at inner \(.*function\.test\.js:\d+:\d+\)/);
  assert.doesNotMatch(told, /driver\.js|node:internal/);
  assert.equal(await mistake(() => { throw "text"; }), "text");
  assert.equal(await mistake(() => { throw { a: 1 }; }), 'thrown: {"a":1}');
});

test("mistakes with the context are told", async () => {
  for (const [run, told] of [
    [(_, ctx) => ctx.emit("x", { output: 1 }), "FunctionError: emitted to output 1, but the function has 1"],
    [(_, ctx) => ctx.emit(undefined), "TypeError: a value cannot be emitted that is undefined: emit text, bytes, null,"],
    [() => new Map(), "TypeError: a value cannot be emitted that is an object of the type 'Map'"],
    [() => 5n, "TypeError: a value cannot be emitted that is bigint"],
    [(_, ctx) => ctx.emit("x", { timestamp: 1.5 }), "TypeError: a record's timestamp must be an integer, not 1.5"],
    [(_, ctx) => ctx.emit("x", { key: 5 }), "TypeError: a record's key must be text or bytes, not number"],
    [(_, ctx) => ctx.setTimer("event", "k", 5), "TypeError: the domain of a timer is EVENT_TIME or PROCESSING_TIME"],
    [(_, ctx) => ctx.setTimer(EVENT_TIME, "k", 2n ** 63n), "RangeError: the time of a timer is 9223372036854775808, which does not fit"],
    [(_, ctx) => ctx.emitWatermark(-1), "RangeError: a watermark is -1, which does not fit into 64 bits without a sign"],
    [(_, ctx) => ctx.store(""), "FunctionError: a store name has 0 bytes, not 1 to 255"],
    [(_, ctx) => void (ctx.config.a = "1"), "TypeError: "],
  ]) {
    const message = await mistake(run);
    assert.ok(message.startsWith(told), `${message}\nis not\n${told}`);
  }
  assert.ok(new FunctionError("x") instanceof Error);
});

test("a record that fails leaves nothing, and the instance goes on", async () => {
  class Count {
    n = 0;
    init(ctx) {
      this.store = ctx.store("s");
    }
    async process(record, ctx) {
      this.store.put(record.text, "1");
      ctx.emit(`${++this.n}`);
      await null;
      if (record.text === "bad") {
        throw new Error("bad");
      }
    }
  }
  const harness = await Harness.start(Count);
  await assert.rejects(harness.send("a", "bad", "c"), ({ record, message }) => record === 1 && message.startsWith("Error: bad"));
  await harness.send("d");
  assert.deepEqual(harness.texts(), ["1", "3"]);
  assert.deepEqual([...harness.state("s").keys()], ["0061", "0064"]);
  assert.equal(harness.object.n, 3);
});

test("a value that was emitted or put may be changed afterwards", async () => {
  class Reuse {
    init(ctx) {
      this.store = ctx.store("s");
    }
    process(record, ctx) {
      const buffer = bytes(1);
      ctx.emit(buffer);
      this.store.put("k", buffer);
      buffer[0] = 2;
      const got = this.store.get("k");
      got[0] = 3;
      ctx.emit(this.store.get("k"));
    }
  }
  const harness = await Harness.start(Reuse);
  await harness.send("x");
  assert.deepEqual(harness.values(), [bytes(1), bytes(1)]);
});

test("timers are set, seen and deleted", async () => {
  class Timers {
    process(record, ctx) {
      ctx.setTimer(EVENT_TIME, "a", 10);
      ctx.setTimer(PROCESSING_TIME, bytes(0), 5n);
      ctx.setTimer(EVENT_TIME, "gone", 1);
      ctx.deleteTimer(EVENT_TIME, "gone");
    }
    async onTimer(timer) {
      await null;
      return { of: timer.keyText, at: timer.at, domain: timer.domain };
    }
  }
  const harness = await Harness.start(Timers);
  await harness.send("x");
  assert.deepEqual(harness.timers().map(({ domain, at }) => [domain, Number(at)]), [[EVENT_TIME, 10], [PROCESSING_TIME, 5]]);
  await harness.watermark(20);
  assert.deepEqual(harness.texts(), ['{"of":"a","at":10,"domain":0}']);
  const none = await Harness.start((record, ctx) => ctx.setTimer(EVENT_TIME, "a", 1));
  await none.send("x");
  await assert.rejects(none.watermark(2), /the timer 'a' of 1: TypeError: the function sets timers, but does not define 'onTimer'/);
});
