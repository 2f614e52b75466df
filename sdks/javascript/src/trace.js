// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

/** Errors as text: the user's own lines, without those of the SDK and of whatever runs it. */

// Frames with one of these in them are not shown.
const HIDDEN = [import.meta.url.slice(0, import.meta.url.lastIndexOf("/") + 1), "node:internal/", "(native)", "(<anonymous>)"];

// More frames of one error are cut in the middle.
const MOST_FRAMES = 20;

let advise = () => undefined;

/** Lets frames be hidden of files whose names have this in them. */
export function hide(part) {
  HIDDEN.push(part);
}

/** Sets what is added to the line of an error, if it returns something for it. */
export function useAdvice(advice) {
  advise = advice;
}

/** Returns the line of whatever was thrown, and the stack below it, if there is one. */
export function explain(error) {
  let text = one(error);
  for (let at = error?.cause, depth = 0; at !== undefined && at !== null && depth < 5; at = at.cause, depth++) {
    text += `\nCaused by: ${one(at)}`;
  }
  return text;
}

function one(error) {
  if (!(error instanceof Error)) {
    return typeof error === "string" ? error : `thrown: ${shown(error)}`;
  }
  const name = String(error.name || "Error");
  const message = String(error.message);
  const line = message ? `${name}: ${message}` : name;
  const advice = advise(error);
  return [advice ? `${line}: ${advice}` : line, ...frames(error)].join("\n");
}

function shown(value) {
  try {
    return JSON.stringify(value) ?? String(value);
  } catch {
    return String(value);
  }
}

/** Returns the frames of an error that are the user's own. */
export function frames(error) {
  const lines = String(error.stack ?? "").split("\n");
  const own = lines.filter((line) => /^\s+at /.test(line) && !HIDDEN.some((hidden) => line.includes(hidden)));
  if (own.length > MOST_FRAMES) {
    own.splice(MOST_FRAMES / 2, own.length - MOST_FRAMES, `    … ${own.length - MOST_FRAMES} more …`);
  }
  return own.map((line) => `  ${line.trim()}`);
}
