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

/**
 * Returns the text of an error of syntax with the line that it is in, and a caret below the token that was not expected, if it is
 * there only once. QuickJS knows the line, but not the column.
 */
export function placed(error, text, lineOf) {
  if (!(error instanceof SyntaxError)) {
    return text;
  }
  return text.replace(/^( *at )(.+):(\d+):\d+$/m, (frame, at, file, number) => {
    const line = lineOf(file, Number(number));
    if (typeof line !== "string") {
      return frame;
    }
    const parts = line.split(/'(.+)'$/.exec(error.message)?.[1] ?? "");
    const caret = parts.length === 2 ? `\n    ${parts[0].replace(/[^\t]/g, " ")}^` : "";
    return `${at}${file}:${number}\n    ${line}${caret}`;
  });
}
