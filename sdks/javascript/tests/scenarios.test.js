// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

/** The scenarios that all SDKs must pass, in the test kit. */

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { parse } from "yaml";
import { Record } from "functionstream";
import { Harness } from "functionstream/testing";
import "./functionstream.js";

const SDK = new URL("../../../tests/sdk/", import.meta.url);
const FILES = readdirSync(new URL("scenarios", SDK)).filter((name) => name.endsWith(".yaml")).sort();
const { default: Conformance } = await import(new URL("javascript/app.js", SDK));

const text = (bytes) => (bytes === null ? null : new TextDecoder().decode(bytes));

test("there are scenarios", () => assert.ok(FILES.length > 10));

for (const file of FILES) {
  const scenario = parse(readFileSync(new URL(`scenarios/${file}`, SDK), "utf8"), { intAsBigInt: false });
  const skip = (scenario.worlds ?? ["packed"]).includes("packed") ? false : "the test kit is of the packed world";
  test(`${file}: ${scenario.name}`, { skip }, () => carryOut(scenario));
}

async function carryOut(scenario) {
  const outputs = Array.from({ length: scenario.outputs ?? 1 }, (_, i) => `o${i}`);
  const start = () => Harness.start(Conformance, { config: scenario.config ?? {}, outputs });
  const reason = scenario["init-fails"];
  if (reason !== undefined) {
    await assert.rejects(start(), ({ message }) => message.includes(reason));
    return;
  }
  const harness = await start();
  const marks = [];
  for (const one of scenario.steps) {
    await step(harness, one, marks);
  }
}

async function step(harness, one, marks) {
  if ("send" in one) {
    await send(harness, one.send, one.source ?? 0, new Map(Object.entries(one.fails ?? {})));
  } else if ("watermark" in one) {
    await fire(() => harness.watermark(one.watermark), one.fails);
  } else if ("time" in one) {
    await fire(() => harness.time(one.time), one.fails);
  } else if (one.checkpoint) {
    await harness.checkpoint();
  } else if (one.restart) {
    await harness.restart();
  } else if ("heartbeat" in one) {
    assert.equal(await harness.heartbeat(), one.heartbeat);
  } else if ("custom" in one && "answers" in one) {
    assert.equal(text(await harness.custom(one.custom)), one.answers);
  } else if ("custom" in one) {
    await assert.rejects(harness.custom(one.custom), ({ message }) => message.includes(one.fails));
  } else if ("exec" in one) {
    const modules = Object.entries(one.modules ?? {}).sort(([a], [b]) => (a < b ? -1 : 1));
    await harness.exec(one.exec, modules.map(([name, content]) => [name, String(content)]));
  } else if (one.stop) {
    await harness.checkpoint();
    await harness.close();
  } else if ("emitted" in one) {
    const emitted = harness.emitted().filter(({ output }) => output === 0);
    assert.deepEqual(emitted.map((of, i) => like(one.emitted[i], of)), one.emitted.map(wanted));
  } else if ("watermarks" in one) {
    // All since the beginning.
    marks.push(...harness.watermarks().filter(({ output }) => output === 0).map(({ watermark }) => watermark));
    assert.deepEqual(marks, one.watermarks);
  } else {
    assert.fail(`the step says nothing: ${JSON.stringify(one)}`);
  }
}

const isWhole = (sample) => typeof sample === "object" && sample !== null;
const wholeOf = (sample) => ({ value: null, key: null, headers: {}, time: 0, ...sample });
const wanted = (sample) => (isWhole(sample) ? wholeOf(sample) : sample);

/** What was emitted, in the form of what it is compared with. */
function like(sample, { value, key, headers, timestamp }) {
  if (!isWhole(sample)) {
    return text(value);
  }
  const told = Object.fromEntries(headers.map(([name, content]) => [name, text(content)]));
  return { value: text(value), key: text(key), headers: told, time: timestamp };
}

/** What is sent for a record of a scenario: a value alone, or a whole one. */
function recordOf(sample) {
  if (!isWhole(sample)) {
    return sample;
  }
  const { value, key, headers, time } = wholeOf(sample);
  return new Record(value, { key, headers, timestamp: time });
}

/** Sends a batch, as a server does it with records that fail: they are left out, and the rest follows. */
async function send(harness, samples, source, fails) {
  const records = samples.map(recordOf);
  for (let at = 0; ; ) {
    try {
      await harness.sendTo(source, ...records.slice(at));
      break;
    } catch (failed) {
      assert.ok(failed.record !== undefined, failed.stack);
      at += failed.record;
      assert.ok(fails.has(String(at)), failed.message);
      assert.ok(failed.message.includes(fails.get(String(at))), failed.message);
      fails.delete(String(at));
      at++;
    }
  }
  assert.equal(fails.size, 0);
}

async function fire(move, fails) {
  if (!fails) {
    await move();
    return;
  }
  const [[key, reason]] = Object.entries(fails);
  await assert.rejects(move(), ({ message }) => message.includes(`'${key}'`) && message.includes(reason));
}
