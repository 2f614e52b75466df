# Copyright 2024 Function Stream Org.
# SPDX-License-Identifier: Apache-2.0

"""The conformance program by the Python SDK: what tests/sdk/README.md says."""

import os

from functionstream import EVENT_TIME, PROCESSING_TIME, Function, FunctionError

DOMAINS = {"event": EVENT_TIME, "processing": PROCESSING_TIME}


def die():
    """Ends the instance where it stands."""
    os._exit(3)


def keys(store, start, end=None):
    return "keys" + "".join(f" {key.decode()}" for key, _ in store.scan(start, end))


def edit(part, what, key):
    def later(by):
        return f"{int(key[:5]) + by:05}"

    if what == "delete-ahead":
        part.delete(later(1))
    elif what == "delete-here":
        part.delete(key)
    elif what == "put-ahead" and key.endswith("0"):
        part.put(f"{key}+", "y")
    elif what == "merge-ahead" and key.endswith("+"):
        part.merge(later(2), "z")
    elif what == "prefix-ahead" and key.endswith("000"):
        part.delete_prefix(f"{key[:2]}5")
    elif what == "put-behind":
        part.put(f"!{key}", "b")


class Conformance(Function):
    def init(self, ctx):
        if "fail" in ctx.config:
            raise ValueError(ctx.config["fail"])
        self.store = ctx.store("s")
        self.records = 0
        self.sick = False

    def part(self, name):
        return self.store.part("g", name, "n")

    def process(self, ctx, record):
        self.records += 1
        if record.value is None:
            ctx.emit("null")
            return
        for line in record.text.split("\n"):
            self.answer(ctx, record.source, line)

    def answer(self, ctx, source, line):
        answer = self.run(ctx, source, line)
        if answer is not None:
            ctx.emit(answer)

    @staticmethod
    def told(store, key):
        value = store.get(key)
        return f"{key} absent" if value is None else f"{key}={value.decode()}"

    def run(self, ctx, source, line):
        name, _, rest = line.partition(" ")
        one, second, third = (*rest.split(" ", 2), "", "")[:3]
        two, _, last = rest.partition(" ")
        match name:
            case "":
                return "empty"
            case "emit":
                ctx.emit(last, int(two))
            case "emit-null":
                ctx.emit(None, int(rest))
            case "watermark":
                ctx.emit_watermark(int(last), int(two))
            case "put":
                self.store.put(two, last)
            case "delete":
                self.store.delete(rest)
            case "get":
                return self.told(self.store, rest)
            case "list":
                return keys(self.store, two, last)
            case "list-from":
                return keys(self.store, rest)
            case "large":
                self.store.put(two, b"x" * int(last))
            case "size":
                return f"size {len(self.store.get(rest) or b'')}"
            case "other":
                ctx.store(one).put(second, third)
            case "cput":
                self.part(one).put(second, third)
            case "merge":
                self.part(one).merge(second, third)
            case "cdelete":
                self.part(two).delete(last)
            case "cget":
                return self.told(self.part(two), last)
            case "cprefix":
                self.part(two).delete_prefix(last)
            case "clist":
                return keys(self.part(one), second, third)
            case "clist-from":
                return keys(self.part(two), last)
            case "scan":
                return "pairs" + "".join(f" {key.decode()}={value.decode()}" for key, value in self.part(rest).scan())
            case "walk":
                part, pairs, size = self.part(two), 0, 0
                for key, value in part.scan():
                    pairs += 1
                    size += len(value)
                    edit(part, last, key.decode())
                return f"walked {pairs} {size}"
            case "fill":
                for i in range(int(second)):
                    self.part(one).put(f"{i:05}", b"x" * int(third))
            case "count":
                values = [value for _, value in self.part(rest).scan()]
                return f"count {len(values)} {sum(map(len, values))}"
            case "open":
                name = "n" * int(last) if two == "long" else rest
                try:
                    ctx.store(name)
                except FunctionError:
                    return "refused"
                return "opened"
            case "timer":
                ctx.set_timer(DOMAINS[one], third, int(second))
            case "untimer":
                ctx.delete_timer(DOMAINS[two], last)
            case "long-timer":
                try:
                    ctx.set_timer(EVENT_TIME, b"k" * int(rest), 2**63 - 1)
                except FunctionError:
                    return "refused"
                return "set"
            case "source":
                return f"source {source}"
            case "field":
                return f"field {self.records}"
            case "garbage":
                bytearray(int(rest))
            case "sick":
                self.sick = True
            case "fail" | "panic":
                raise ValueError(rest)
            case "die":
                die()
            case _:
                raise ValueError(f"the command '{name}' is not known")
        return None

    def on_timer(self, ctx, timer):
        domain, key = ("event", "processing")[timer.domain], timer.key.decode()
        ctx.emit(f"fired {domain} {timer.at} {key}")
        command = self.store.get(f"on:{key}")
        if command is not None:
            self.answer(ctx, 0, command.decode())

    def process_watermark(self, ctx, source, watermark):
        ctx.emit_watermark(watermark)

    def take_checkpoint(self, ctx, checkpoint):
        self.store.put("checkpoint", str(checkpoint))

    def check_heartbeat(self, ctx):
        return not self.sick

    def exec(self, ctx, class_name, modules):
        told = class_name + "".join(f" {name}={data.decode()}" for name, data in modules)
        self.store.put("exec", told)

    def custom(self, ctx, payload):
        if payload == b"fail":
            raise ValueError("refused")
        if payload == b"die":
            die()
        return b"custom " + payload
