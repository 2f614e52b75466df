// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

/** The errors of the SDK itself. */

/** The host refused something, or the SDK was used in a way that it does not allow. */
export class FunctionError extends Error {
  get name() {
    return "FunctionError";
  }
}

/** What a whole batch did was refused, so no record is to blame. */
export class BatchError extends FunctionError {}
