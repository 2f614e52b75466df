// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

/** Counts the records of each key, and emits the count with the key. Counts are 8 bytes, little-endian. */

const LITTLE_ENDIAN = true;

export default class KeyedCount {
  init(ctx) {
    this.counts = ctx.store("counts");
  }

  process(record, ctx) {
    const count = new Uint8Array(8);
    const before = this.counts.get(record.key);
    if (before !== undefined) {
      count.set(before);
    }
    const view = new DataView(count.buffer);
    view.setBigUint64(0, view.getBigUint64(0, LITTLE_ENDIAN) + 1n, LITTLE_ENDIAN);
    this.counts.put(record.key, count);
    ctx.emit(count, { key: record.key });
  }
}
