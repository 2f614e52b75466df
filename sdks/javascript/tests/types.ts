// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

/** Programs that must be as the types say, and mistakes that they must find. `npm test` has the compiler check it. */

import { type Context, EVENT_TIME, Output, type Process, type Processor, type Record, type Timer } from "functionstream";
import type { Codec } from "functionstream/codecs";
import { AggregatingState, type Keyed, ListState, MapState, PriorityQueueState, ReducingState, ValueState } from "functionstream/states";
import { Harness } from "functionstream/testing";

export const plain: Process = (record) => ({ ...record.json(), seen: true });

export const later: Process = async (record, ctx) => {
  ctx.emit(record.value, { key: record.key, headers: { a: "1" }, timestamp: record.timestamp });
};

export const many: Process = function* (record) {
  yield new Output(record.text, { output: 1 });
  yield* record.text.split(" ");
};

const HEX: Codec<string> = { encode: (text) => new Uint8Array([Number.parseInt(text, 16)]), decode: (data) => data[0]!.toString(16) };

export default class Count implements Processor {
  private counts!: MapState<"string", "int64">;
  private last!: Keyed<ValueState<"json">>;
  private hex!: ListState<typeof HEX>;
  private queue!: PriorityQueueState<"float64">;
  private mean!: AggregatingState<number, string>;
  private most!: ReducingState<"bigint">;

  init(ctx: Context) {
    this.counts = new MapState(ctx, "counts", "string", "int64");
    this.last = ValueState.keyed(ctx, "last", "json", { group: "g" });
    this.hex = new ListState(ctx, "hex", HEX);
    this.queue = new PriorityQueueState(ctx, "queue", "float64");
    this.mean = new AggregatingState(ctx, "mean", "json", {
      create: () => ({ sum: 0 }),
      add: (value: number, { sum }: { sum: number }) => ({ sum: sum + value }),
      result: ({ sum }: { sum: number }) => String(sum),
    });
    this.most = new ReducingState(ctx, "most", "bigint", (a, b) => (a > b ? a : b));
    // @ts-expect-error: there is no such type
    new ValueState(ctx, "x", "integer");
  }

  process(record: Record, ctx: Context) {
    const count: number = (this.counts.get(record.text) ?? 0) + 1;
    this.counts.put(record.text, count);
    this.last("k", "n").set({ any: 1 });
    this.hex.add("ff");
    this.queue.add(1.5);
    this.mean.add(1);
    this.most.add(1n);
    // @ts-expect-error: the values are numbers
    this.counts.put(record.text, "one");
    // @ts-expect-error: a bigint is wanted
    this.most.add(1);
    ctx.setTimer(EVENT_TIME, record.text, BigInt(record.timestamp) + 5n);
    return { word: record.text, count, mean: this.mean.get()?.length };
  }

  onTimer(timer: Timer): string {
    return `${timer.keyText} at ${timer.at}`;
  }
}

// @ts-expect-error: a class needs process
export const none: Processor = { init() {} };

export async function tried(): Promise<(string | null)[]> {
  const harness = await Harness.start(Count, { outputs: ["a", "b"] });
  await harness.send("x", null);
  return harness.texts();
}
