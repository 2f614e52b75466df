// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

/** What is added to errors whose own words do not say what to do. */

const NETWORK = "a function has no network";
const TIME = "a function has no timers of its own: ctx.setTimer sets one that is kept, and onTimer handles it";
const NODE = "it is of Node.js, which a function does not have";

const ADVICE = {
  fetch: NETWORK, XMLHttpRequest: NETWORK, WebSocket: NETWORK, EventSource: NETWORK, Request: NETWORK, Response: NETWORK,
  setTimeout: TIME, setInterval: TIME, setImmediate: TIME, clearTimeout: TIME, clearInterval: TIME,
  require: "a function is an ES module: write 'import … from …'",
  module: "a function is an ES module: write 'export …'",
  exports: "a function is an ES module: write 'export …'",
  process: NODE, Buffer: NODE, __dirname: NODE, __filename: NODE, global: "it is of Node.js: write 'globalThis'",
  Worker: "a function has no threads",
  Intl: "there are no tables of languages in a function",
  WebAssembly: "a function cannot load WebAssembly",
  URL: "bundle a package for it", URLSearchParams: "bundle a package for it",
  window: "there is no browser", document: "there is no browser",
};

/** Returns what is to be added to the line of an error, or undefined. */
export function advice(error) {
  if (!(error instanceof ReferenceError)) {
    return undefined;
  }
  const name = /^'?(\w+)'? is not defined$/.exec(error.message)?.[1];
  return name !== undefined && Object.hasOwn(ADVICE, name) ? ADVICE[name] : undefined;
}

/** Returns the line that an error of syntax is in, and a caret below the place; nothing for others. */
export function place(error, lineOf) {
  const found = error instanceof SyntaxError && /^\s*at (?:\S+ \()?([^()\s]+?):(\d+):(\d+)/m.exec(error.stack ?? "");
  const text = found && lineOf(found[1], Number(found[2]));
  if (typeof text !== "string") {
    return "";
  }
  const before = text.slice(0, Number(found[3]) - 1);
  return `\n    ${text}\n    ${before.replace(/[^\t]/g, " ")}^`;
}
