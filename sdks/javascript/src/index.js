// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

/** Functions for Function Stream, written in JavaScript. What there is, and what it does, is told in index.d.ts. */

export { FunctionError } from "./errors.js";
export { EVENT_TIME, Output, PROCESSING_TIME, Record, Timer } from "./record.js";
export { Store } from "./store.js";
