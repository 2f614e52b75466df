// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

/** Runs a function without a server, in the process of its own tests. What there is, and what it does, is told in testing.d.ts. */

export { Harness, RecordFailed } from "./harness.js";
