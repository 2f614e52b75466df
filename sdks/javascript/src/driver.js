// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

/**
 * One function in a host's hands: calls in, everything that they did passed on before they return.
 *
 * Each call is a generator. It yields promises, and is resumed with what they come to: by an engine at once, and by the test kit when
 * its time has come; and it yields undefined for whatever else waits in the queue of jobs to be run, which may throw
 * what a promise was rejected with that nobody handles.
 */

import { Context } from "./context.js";
import { BatchError } from "./errors.js";
import { Columns } from "./frame.js";
import { emitResult } from "./function.js";
import { Output, FrameRecord, Timer } from "./record.js";
import { explain } from "./trace.js";
import { bytesOf, encode, typeName } from "./text.js";

/** The index that no record has: which one failed is not known. */
export const NONE = 0xffffffff;

/** A call failed. Its message is the error's line, and the stack below it. */
export class Failed extends Error {
  constructor(message, index = NONE, undone = false) {
    super(message);
    // Which record, or timer, failed.
    this.index = index;
    // Nothing is left of it, and all that those before it did is passed on.
    this.undone = undone;
  }
}

/** A function with its context. `cell` is where the host reads which record is at hand. */
export class Driver {
  constructor(make, host, config, metadata, cell = new Uint32Array(1)) {
    this._ctx = new Context(host, metadata, config);
    this._make = make;
    this._cell = cell;
    this._cell[0] = NONE;
    this._function = undefined;
  }

  /** The object or function that was given. */
  get object() {
    return this._function?.object;
  }

  *init() {
    yield* this._call(() => {
      this._function = this._make();
      return this._function.init?.(this._ctx);
    });
  }

  *processBatch(data) {
    const [ctx, process, cell, frame] = [this._ctx, this._function.process, this._cell, columns(data)];
    const { n, highs, lows } = frame;
    let index = 0;
    try {
      for (; index < n; index++) {
        cell[0] = index;
        const high = highs[2 * index + 1];
        // Of the years in which records are made, without a call.
        const timestamp = high >= 0 && high < 0x200000 ? high * 4294967296 + lows[2 * index] : frame.timestamp(index);
        ctx._begin(timestamp);
        const result = process(new FrameRecord(frame, index), ctx);
        if (result !== undefined) {
          if (isPlain(result)) {
            ctx.emit(result);
          } else {
            yield* this._settle(result);
          }
        }
      }
    } catch (error) {
      throw this._failed(error, index);
    }
    yield* this._finish();
  }

  *onTimers(data) {
    const [ctx, frame, handle] = [this._ctx, columns(data), this._function.onTimer];
    for (let index = 0; index < frame.n; index++) {
      this._cell[0] = index;
      const key = frame.key(index)?.slice() ?? new Uint8Array(0);
      const at = frame.timestamp(index);
      ctx._begin(at);
      try {
        if (!handle) {
          throw new TypeError("the function sets timers, but does not define 'onTimer'");
        }
        yield* this._settle(handle(new Timer(frame.channels[index], key, at), ctx));
      } catch (error) {
        throw this._failed(error, index);
      }
    }
    yield* this._finish();
  }

  *processWatermark(source, watermark) {
    yield* this._call(() => this._function.processWatermark?.(source, watermark, this._ctx));
  }

  *takeCheckpoint(checkpoint) {
    yield* this._call(() => this._function.takeCheckpoint?.(checkpoint, this._ctx));
  }

  *checkHeartbeat() {
    const check = this._function.checkHeartbeat;
    return check ? Boolean(yield* this._call(() => check(this._ctx))) : true;
  }

  *close() {
    yield* this._call(() => this._function.close?.(this._ctx));
  }

  *exec(className, modules) {
    yield* this._call(() => this._function.exec?.(className, modules, this._ctx));
  }

  *custom(payload) {
    const { custom } = this._function;
    if (!custom) {
      return payload;
    }
    return yield* this._call(
      () => custom(payload, this._ctx),
      (answer) => {
        const bytes = typeof answer === "string" ? encode(answer) : bytesOf(answer);
        if (!bytes) {
          throw new TypeError(`'custom' returned ${typeName(answer)}, not text or bytes`);
        }
        return bytes;
      },
    );
  }

  *_call(run, check = undefined) {
    let result;
    try {
      result = run();
      if (isPromise(result)) {
        result = yield result;
      }
      if (check) {
        result = check(result);
      }
    } catch (error) {
      throw new Failed(explain(error));
    }
    yield* this._finish();
    return result;
  }

  /** Emits what a call returned, after it has come to its end if it is a promise. */
  *_settle(result) {
    yield* emitResult(this._ctx, isPromise(result) ? yield result : result);
  }

  _failed(error, index) {
    this._cell[0] = NONE;
    if (error instanceof BatchError) {
      return new Failed(error.message);
    }
    return new Failed(explain(error), index, this._ctx._undo());
  }

  *_finish() {
    this._cell[0] = NONE;
    try {
      yield undefined;
    } catch (error) {
      // Something that was started, and not waited for, has failed. Which record did it is not known.
      throw new Failed(explain(error));
    }
    try {
      this._ctx._finish();
    } catch (error) {
      throw new Failed(error.message);
    }
  }
}

function columns(data) {
  try {
    return new Columns(data);
  } catch (error) {
    throw new Failed(error.message);
  }
}

function isPromise(value) {
  return typeof value === "object" && value !== null && typeof value.then === "function";
}

/** Reports whether a result is emitted as it is, without a look at what it may be else. */
function isPlain(result) {
  if (typeof result !== "object") {
    return true;
  }
  return result !== null && !(result instanceof Output) && result.then === undefined && result.next === undefined;
}
