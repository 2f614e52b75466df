// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

/** The types say what is there: the compiler takes types.ts as it is. */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import * as sdk from "functionstream";
import * as codecs from "functionstream/codecs";
import * as states from "functionstream/states";
import * as testing from "functionstream/testing";

const path = (name) => fileURLToPath(new URL(name, import.meta.url));

test("programs have the types that are told, and mistakes are found", () => {
  const tsc = spawnSync(process.execPath, [path("../node_modules/typescript/bin/tsc"), "-p", path(".")], { encoding: "utf8" });
  assert.equal(tsc.status, 0, tsc.stdout + tsc.stderr);
});

test("every module exports what its types declare", async () => {
  const { readFileSync } = await import("node:fs");
  for (const [name, module] of Object.entries({ index: sdk, codecs, states, testing })) {
    const text = readFileSync(path(`../src/${name}.d.ts`), "utf8");
    const declared = [...text.matchAll(/^export declare (?:const|class|function) (\w+)/gm)].map(([, word]) => word);
    assert.deepEqual(Object.keys(module).sort(), declared.sort(), name);
  }
});
