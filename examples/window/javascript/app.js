// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

/**
 * Counts the records of each key in windows of event time, which follow each other without a gap.
 *
 * A window's count is emitted once, when no record of it is expected any more; a record that comes later all the same is dropped.
 */

import { EVENT_TIME } from "functionstream";
import { ValueState } from "functionstream/states";

const MILLISECONDS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };

/** The milliseconds of a duration such as `10s`. */
function milliseconds(text) {
  const found = /^([1-9]\d*)(ms|s|m|h)$/.exec(text);
  if (!found) {
    throw new Error(`the window '${text}' is not a duration of a millisecond at least, such as 10s`);
  }
  return Number(found[1]) * MILLISECONDS[found[2]];
}

export default class Window {
  init(ctx) {
    this.size = milliseconds(ctx.config.window ?? "10s");
    // How many records each open window has. Its end and its key are its name, and that of the timer at its end.
    this.count = ValueState.keyed(ctx, "counts", "int64");
    this.dropped = new ValueState(ctx, "dropped", "int64");
    this.kept = new ValueState(ctx, "watermark", "int64");
    this.watermark = this.kept.get();
  }

  process(record, ctx) {
    const { timestamp } = record;
    // The remainder is never negative, so that a time before 1970 has its window too.
    const end = timestamp - (((timestamp % this.size) + this.size) % this.size) + this.size;
    if (this.watermark !== undefined && end <= this.watermark) {
      this.dropped.set((this.dropped.get() ?? 0) + 1);
      return;
    }
    const name = `${end} ${record.keyText ?? ""}`;
    const count = this.count(name);
    const before = count.get();
    if (before === undefined) {
      ctx.setTimer(EVENT_TIME, name, end);
    }
    count.set((before ?? 0) + 1);
  }

  /** No record of a window is expected any more. */
  onTimer(timer, ctx) {
    const name = timer.keyText;
    const key = name.slice(name.indexOf(" ") + 1);
    const count = this.count(name);
    ctx.emit({ key, window: timer.at - this.size, count: count.get() }, { key });
    count.clear();
  }

  /**
   * All timers have fired that the watermark made due.
   *
   * It is kept, so that a new instance knows as well which records are late, and passed on to who reads the results.
   */
  processWatermark(source, watermark, ctx) {
    this.watermark = watermark < 2n ** 63n ? watermark : 2n ** 63n - 1n;
    this.kept.set(this.watermark);
    ctx.emitWatermark(watermark);
  }

  /** How many records came too late. */
  custom(payload) {
    if (new TextDecoder().decode(payload) !== "dropped") {
      throw new Error("what can be asked is 'dropped'");
    }
    return String(this.dropped.get() ?? 0);
  }
}
