// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

/** Counts words: for each word of a record, how often it has come up so far. */

import { MapState } from "functionstream/states";

export default class WordCount {
  init(ctx) {
    this.counts = new MapState(ctx, "counts", "string", "uint64");
  }

  process(record, ctx) {
    for (const word of record.text.split(/\s+/).filter(Boolean)) {
      const count = (this.counts.get(word) ?? 0) + 1;
      this.counts.put(word, count);
      ctx.emit(String(count), { key: word });
    }
  }
}
