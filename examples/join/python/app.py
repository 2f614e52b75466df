# Copyright 2024 Function Stream Org.
# SPDX-License-Identifier: Apache-2.0

"""Joins orders with their customers by the key of both. An order that comes before its customer waits in state."""

from functionstream import Function
from functionstream.states import ListState, ValueState

CUSTOMERS = 0
"""The first input group; the second has the orders."""


class Join(Function):
    def init(self, ctx):
        self.names = ValueState.keyed(ctx, "names", str)
        self.waiting = ListState.keyed(ctx, "waiting", dict)

    def process(self, ctx, record):
        name, waiting = self.names(record.key), self.waiting(record.key)
        if record.source == CUSTOMERS:
            name.set(record.json()["name"])
            orders = waiting.get()
            waiting.clear()
        else:
            orders = [record.json()]
        customer = name.get()
        for order in orders:
            if customer is None:
                waiting.add(order)
            else:
                ctx.emit_json({"customer": customer, "item": order["item"], "price": order["price"]}, key=record.key)
