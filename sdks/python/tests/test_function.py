# Copyright 2024 Function Stream Org.
# SPDX-License-Identifier: Apache-2.0

"""Functions in the test kit."""

import types

import pytest

from functionstream import Function, Output, Record, function
from functionstream.function import NotFound, find
from functionstream.testing import Harness, RecordFailed


@function
def add_one(record):
    event = record.json()
    event["money"] += 1
    return event


def test_a_plain_function_emits_what_it_returns():
    harness = Harness(add_one)
    harness.send('{"name":"rbt","money":2}')
    assert harness.values() == [b'{"name":"rbt","money":3}']


def test_a_failing_record_leaves_nothing_and_those_before_it_do():
    harness = Harness(add_one)
    with pytest.raises(RecordFailed) as failed:
        harness.send('{"money":1}', "{}", '{"money":5}')
    assert failed.value.record == 1
    assert failed.value.message.startswith("KeyError: 'money'\nTraceback (most recent call last):\n  File ")
    assert "in add_one" in failed.value.message and "driver.py" not in failed.value.message
    assert harness.values() == [b'{"money":2}']


class Count(Function):
    def init(self, ctx):
        self.counts = ctx.store("counts")

    def process(self, ctx, record):
        count = int(self.counts.get(record.value) or b"0") + 1
        self.counts.put(record.value, str(count))
        if record.value == b"bad":
            raise ValueError("bad record")
        ctx.emit(f"{record.text} {count}")


def test_what_a_failing_record_wrote_is_undone_and_the_instance_stays():
    harness = Harness(Count)
    before = harness.function
    for _ in range(2):
        with pytest.raises(RecordFailed):
            harness.send("a", "bad")
    harness.send("a")
    assert harness.values() == [b"a 1", b"a 2", b"a 3"]
    assert harness.state("counts") == {b"\x00a": b"3"}
    assert harness.function is before


def test_generators_and_coroutines():
    @function
    def words(record):
        yield from record.text.split()

    @function
    async def later(ctx, record):
        import asyncio

        await asyncio.sleep(0)
        return Output(record.value, 1, key="k", headers={"h": "v"}, timestamp=7)

    @function
    async def many(record):
        yield "a"
        yield {"b": 1}

    harness = Harness(words)
    harness.send("a b")
    assert harness.values() == [b"a", b"b"]
    harness = Harness(later, outputs=["x", "y"])
    harness.send("v")
    (emitted,) = harness.emitted()
    assert (emitted.output, emitted.key, emitted.headers, emitted.timestamp) == (1, b"k", [("h", b"v")], 7)
    harness = Harness(many)
    harness.send("")
    assert harness.values() == [b"a", b'{"b":1}']


def test_a_null_value_is_none_both_ways():
    @function
    def turn(ctx, record):
        ctx.emit(b"null" if record.value is None else None)

    harness = Harness(turn)
    harness.send(None, "")
    assert harness.values() == [b"null", None]


def test_a_record_has_its_metadata():
    seen = []

    @function
    def see(record):
        seen.append((record.key, record.headers, record.header("h"), record.timestamp, record.source))

    harness = Harness(see, inputs=2)
    harness.send(Record(b"v", key=b"", headers=[("h", b"1"), ("h", b"2")], timestamp=5, source=1))
    harness.send(b"v")
    assert seen == [(b"", [("h", b"1"), ("h", b"2")], b"1", 5, 1), (None, [], None, 0, 0)]


def test_a_wrong_return_type_says_so():
    @function
    def wrong(record):
        return {1, 2}

    with pytest.raises(RecordFailed) as failed:
        Harness(wrong).send("x")
    assert failed.value.message == (
        "TypeError: the function returned a value of the type 'set', which cannot be emitted: return bytes, str, an Output, or "
        "something that JSON has"
    )


def module(source):
    made = types.ModuleType("app")
    made.__file__ = "app.py"
    exec(compile(source, "app.py", "exec"), vars(made))
    return made


IMPORT = "from functionstream import Function, function\n"


@pytest.mark.parametrize(
    ("source", "name", "message"),
    [
        ("x = 1", None, "'app.py' defines no function: mark one with @function, or derive a class from functionstream.Function"),
        (
            IMPORT + "class A(Function): pass\nclass B(Function): pass",
            None,
            "'app.py' defines 2 functions, 'A' and 'B': name one by the setting 'class_name'",
        ),
        (IMPORT + "class A(Function): pass", "C", "'app.py' has no 'C'"),
        (
            "class A: pass",
            "A",
            "'A' of 'app.py' is no function: mark it with @function, or derive the class from functionstream.Function",
        ),
    ],
)
def test_none_and_two_functions_are_refused(source, name, message):
    with pytest.raises(NotFound) as refused:
        find(module(source), name)
    assert str(refused.value) == message


def test_one_of_two_is_taken_by_its_name():
    two = module(IMPORT + "class A(Function): pass\nclass B(Function): pass")
    assert find(two, "B") is two.B


def test_timers_fire_in_the_order_of_their_times():
    class Timers(Function):
        def process(self, ctx, record):
            domain, at, key = record.text.split()
            ctx.set_timer(int(domain), key, int(at))

        def on_timer(self, ctx, timer):
            return f"{timer.domain} {timer.key.decode()} {timer.at}"

        def process_watermark(self, ctx, source, watermark):
            ctx.emit(f"watermark {watermark}")
            ctx.emit_watermark(watermark)

    harness = Harness(Timers)
    harness.send("0 20 b", "0 10 a", "1 5 c")
    assert harness.timers() == [(0, 10, b"a"), (0, 20, b"b"), (1, 5, b"c")]
    harness.watermark(15)
    assert harness.values() == [b"0 a 10", b"watermark 15"]
    harness.time(9)
    assert harness.values() == [b"1 c 5"]
    assert harness.watermarks() == [(0, 15)]
