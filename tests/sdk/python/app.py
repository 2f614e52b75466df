# Copyright 2024 Function Stream Org.
# SPDX-License-Identifier: Apache-2.0

"""The conformance program by the Python SDK: what tests/sdk/README.md says."""

import os

from functionstream import EVENT_TIME, PROCESSING_TIME, Function, FunctionError, Record
from functionstream.states import (
    Aggregate,
    AggregatingState,
    ListState,
    MapState,
    PriorityQueueState,
    ReducingState,
    ValueState,
)

DOMAINS = {"event": EVENT_TIME, "processing": PROCESSING_TIME}


def die():
    """Ends the instance where it stands."""
    os._exit(3)


def keys(store, start, end=None):
    return "keys" + "".join(f" {key.decode()}" for key, _ in store.scan(start, end))


def pairs(store, start=b"", end=None):
    """The pairs of a range; an empty end is none."""
    return "pairs" + "".join(f" {key.decode()}={value.decode()}" for key, value in store.scan(start, end or None))


def whole(record):
    """A record but for its value."""
    key = "no key" if record.key is None else f"key={record.key.decode()}"
    headers = "".join(f" {name}={value.decode()}" for name, value in record.headers)
    return f"record {key} time={record.timestamp}{headers}"


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


class Mean(Aggregate):
    """The sum of numbers, and how many they are."""

    def create(self):
        return {"sum": 0, "n": 0}

    def add(self, value, accumulator):
        return {"sum": accumulator["sum"] + value, "n": accumulator["n"] + 1}

    def result(self, accumulator):
        return f"{accumulator['sum']}/{accumulator['n']}"

    def merge(self, a, b):
        return {"sum": a["sum"] + b["sum"], "n": a["n"] + b["n"]}


def greater(reduced, following):
    if following < 0:
        raise ValueError(f"{following} is refused")
    return max(reduced, following)


def optional(kind, value):
    return f"{kind} absent" if value is None else f"{kind}={value}"


def every(kind, values):
    return kind + "".join(f" {value}" for value in values)


def numbers(text):
    return [int(word) for word in text.split()]


class States:
    """The typed states, alone and by key."""

    def __init__(self, ctx):
        def both(kind, store, *types):
            return kind(ctx, store, *types), kind.keyed(ctx, store, *types, group="g")

        self.kinds = {
            "value": both(ValueState, "states", str),
            "list": both(ListState, "states", str),
            "numbers": both(ListState, "numbers", int),
            "map": both(MapState, "states", int, str),
            "queue": both(PriorityQueueState, "states", int),
            "mean": both(AggregatingState, "states", dict, Mean()),
            "greatest": both(ReducingState, "states", int, greater),
        }

    def at(self, kind, key):
        if kind not in self.kinds:
            raise ValueError(f"there is no state '{kind}'")
        alone, keyed = self.kinds[kind]
        return alone if key == "-" else keyed(key, "n")

    def run(self, command):
        """Carries out KIND KEY OPERATION ARGUMENT; answers what is to be emitted."""
        kind, key, operation, rest = (*command.split(" ", 3), "", "", "")[:4]
        state = self.at(kind, key)
        match kind, operation:
            case _, "clear":
                state.clear()
            case "value", "set":
                state.set(rest)
            case "list", "add":
                state.add(rest)
            case "list", "add-all":
                state.add(*rest.split(" "))
            case "list", "set":
                state.set(rest.split(" "))
            case "numbers", "add-all":
                state.add(*numbers(rest))
            case "numbers", "set":
                state.set(numbers(rest))
            case "map", "put":
                number, _, text = rest.partition(" ")
                state.put(int(number), text)
            case "map", "fill":
                number, _, text = rest.partition(" ")
                for i in range(int(number)):
                    state.put(i, text)
            case "map", "delete":
                state.delete(int(rest))
            case "map", "get":
                return optional(kind, state.get(int(rest)))
            case "map", "thin":
                seen = 0
                for number, _ in state.items():
                    state.delete(number + 1)
                    seen += 1
                return f"map thinned {seen}"
            case "map", _:
                return every(kind, (f"{number}={text}" for number, text in state.items()))
            case ("numbers" | "queue" | "mean" | "greatest"), "add":
                state.add(int(rest))
            case ("list" | "numbers"), _:
                return every(kind, state.get())
            case "queue", "peek":
                return optional(kind, state.peek())
            case "queue", "poll":
                return optional(kind, state.poll())
            case "queue", _:
                return every(kind, state)
            case "mean", "merge":
                state.merge(self.at(kind, rest))
            case _:
                return optional(kind, state.get())
        return None


class Conformance(Function):
    def init(self, ctx):
        if "fail" in ctx.config:
            raise ValueError(ctx.config["fail"])
        self.store = ctx.store("s")
        self.states = States(ctx)
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
            self.answer(ctx, record, line)

    def answer(self, ctx, record, line):
        answer = self.run(ctx, record, line)
        if answer is not None:
            ctx.emit(answer)

    @staticmethod
    def told(store, key):
        value = store.get(key)
        return f"{key} absent" if value is None else f"{key}={value.decode()}"

    def run(self, ctx, record, line):
        name, _, rest = line.partition(" ")
        one, second, third = (*rest.split(" ", 2), "", "")[:3]
        two, _, last = rest.partition(" ")
        match name:
            case "":
                return "empty"
            case "emit":
                ctx.emit(last, int(two))
            case "state":
                return self.states.run(rest)
            case "record":
                return whole(record)
            case "pass":
                ctx.emit(rest, key=record.key, headers=record.headers, timestamp=record.timestamp)
            case "emit-record":
                header, _, value = third.partition(" ")
                name, _, content = header.partition("=")
                ctx.emit(value, key=one, headers={name: content}, timestamp=int(second))
            case "tombstone":
                ctx.emit(None, key=rest)
            case "metadata":
                return f"metadata {ctx.metadata.task_index} {len(ctx.metadata.outputs)}"
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
                return pairs(self.part(rest))
            case "scan-range":
                return pairs(self.store, two, last)
            case "cscan-range":
                return pairs(self.part(one), second, third)
            case "delete-range":
                self.store.delete_range(two, last or None)
            case "cdelete-range":
                self.part(one).delete_range(second, third or None)
            case "merge-simple":
                self.store.merge(two, last)
            case "walk":
                part, met, size = self.part(two), 0, 0
                for key, value in part.scan():
                    met += 1
                    size += len(value)
                    edit(part, last, key.decode())
                return f"walked {met} {size}"
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
                return f"source {record.source}"
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
            self.answer(ctx, Record(None), command.decode())

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
