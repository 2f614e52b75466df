// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

/** Joins orders with their customers by the key of both. An order that comes before its customer waits in state. */

import { ListState, ValueState } from "functionstream/states";

/** The first input group; the second has the orders. */
const CUSTOMERS = 0;

export default class Join {
  init(ctx) {
    this.names = ValueState.keyed(ctx, "names", "string");
    this.waiting = ListState.keyed(ctx, "waiting", "json");
  }

  process(record, ctx) {
    const { key } = record;
    const name = this.names(key);
    const waiting = this.waiting(key);
    let orders;
    if (record.source === CUSTOMERS) {
      name.set(record.json().name);
      orders = waiting.get();
      waiting.clear();
    } else {
      orders = [record.json()];
    }
    const customer = name.get();
    for (const order of orders) {
      if (customer === undefined) {
        waiting.add(order);
      } else {
        ctx.emit({ customer, item: order.item, price: order.price }, { key });
      }
    }
  }
}
