# Copyright 2024 Function Stream Org.
# SPDX-License-Identifier: Apache-2.0

"""States, and the bytes that all languages write."""

import pytest
from functionstream import Function, codecs, states
from functionstream.testing import Harness

import fs_api
import fs_api_advanced as old


def context():
    """A context, by which a test uses states as a function does."""
    kept = []

    class Keep(Function):
        def init(self, ctx):
            kept.append(ctx)

    harness = Harness(Keep)
    return kept[0], harness


def stored(ctx, harness, store):
    ctx._finish()
    return harness.state(store)


@pytest.mark.parametrize(
    ("codec", "value", "data"),
    [
        (codecs.BoolCodec(), True, "01"),
        (codecs.Int16Codec(), -1, "7fff"),
        (codecs.Int32Codec(), 1, "80000001"),
        (codecs.IntCodec(), -2, "7ffffffffffffffe"),
        (codecs.Uint16Codec(), 258, "0102"),
        (codecs.FloatCodec(), 1.5, "bff8000000000000"),
        (codecs.FloatCodec(), -1.5, "4007ffffffffffff"),
        (codecs.Float32Codec(), 0.0, "80000000"),
        (codecs.StringCodec(), "é", "c3a9"),
        (codecs.JsonCodec(), {"a": [1, "é"]}, "7b2261223a5b312c22c3a9225d7d"),
    ],
)
def test_the_bytes_are_those_of_all_languages(codec, value, data):
    assert codec.encode(value).hex() == data
    assert codec.decode(bytes.fromhex(data)) == value


@pytest.mark.parametrize(
    ("codec", "ascending"),
    [
        (codecs.IntCodec(), [-(2**63), -256, -1, 0, 1, 2**63 - 1]),
        (codecs.FloatCodec(), [float("-inf"), -1.5, 0.0, 1e-300, 2.0, float("inf")]),
        (codecs.Uint64Codec(), [0, 1, 256, 2**64 - 1]),
    ],
)
def test_the_order_of_the_bytes_is_that_of_the_values(codec, ascending):
    encoded = [codec.encode(value) for value in ascending]
    assert encoded == sorted(encoded)
    assert [codec.decode(data) for data in encoded] == ascending


def test_what_does_not_fit_is_an_error():
    with pytest.raises(ValueError, match="9223372036854775808 does not fit into 64 bits"):
        codecs.IntCodec().encode(2**63)
    with pytest.raises(ValueError, match="IntCodec takes 8 bytes, not 1"):
        codecs.IntCodec().decode(b"\x00")


def test_states_are_stored_where_all_languages_have_them():
    ctx, harness = context()
    states.ValueState(ctx, "s", int).set(1)
    words = states.ListState(ctx, "s", str)
    words.add("ab", "")
    states.ListState.keyed(ctx, "s", codecs.Int16Codec(), group=b"g")("k", "n").set([1, -1])
    states.MapState(ctx, "s", str, int).put("x", 2)
    states.PriorityQueueState(ctx, "s", int).add(-1)
    part = bytes.fromhex
    assert stored(ctx, harness, "s") == {
        part("01 00000000 00000001 76 00000000"): part("8000000000000001"),
        part("01 00000000 00000001 6c 00000000"): part("00000002 6162 00000000"),
        part("01 00000001 67 00000001 6b 00000002 6c6e"): part("8001 7fff"),
        part("01 00000000 00000001 6d 00000000 78"): part("8000000000000002"),
        part("01 00000000 00000001 71 00000000 7fffffffffffffff"): b"",
    }
    assert words.get() == ["ab", ""]


def test_a_list_that_is_none_is_an_error():
    ctx, _ = context()
    words = states.ListState(ctx, "s", str)
    for data in (b"\x00", b"\x00\x00\x00\x05ab", b"\xff\xff\xff\xff"):
        ctx.store("s").part(b"", b"l", b"").put(b"", data)
        with pytest.raises(ValueError, match="no list of these elements"):
            words.get()


def test_a_queue_gives_the_least_first():
    ctx, _ = context()
    queue = states.PriorityQueueState(ctx, "s", float)
    for value in (2.5, -1.0, 2.5, 0.0):
        queue.add(value)
    assert list(queue) == [-1.0, 0.0, 2.5]
    assert [queue.poll(), queue.peek(), queue.poll(), queue.poll(), queue.poll()] == [-1.0, 0.0, 0.0, 2.5, None]
    with pytest.raises(TypeError, match="a priority queue needs a codec with an order, which JsonCodec has not"):
        states.PriorityQueueState(ctx, "s", dict)


def test_aggregates_and_reductions():
    class Mean(states.Aggregate):
        def create(self):
            return [0, 0]

        def add(self, value, accumulator):
            return [accumulator[0] + value, accumulator[1] + 1]

        def result(self, accumulator):
            return accumulator[0] / accumulator[1]

        def merge(self, a, b):
            return [a[0] + b[0], a[1] + b[1]]

    ctx, _ = context()
    mean = states.AggregatingState.keyed(ctx, "s", list, Mean())
    most = states.ReducingState(ctx, "s", int, max)
    assert (mean("a").get(), most.get()) == (None, None)
    for value in (1, 4, 1):
        mean("a").add(value)
        most.add(value)
    assert (mean("a").get(), mean("b").get(0), most.get()) == (2, 0, 4)
    mean("a").merge(mean("none"))
    mean("b").merge(mean("a"))
    assert (mean("a").get(), mean("b").get(), mean("none").get()) == (2, 2, None)
    mean("b").add(8)
    mean("a").merge(mean("b"))
    assert (mean("a").get(), mean("b").get()) == (20 / 7, 3.5)
    mean("a").clear()
    assert mean("a").get() is None


def test_an_aggregate_that_cannot_be_merged_says_so():
    class Sum(states.Aggregate):
        def create(self):
            return 0

        def add(self, value, accumulator):
            return accumulator + value

    ctx, _ = context()
    total = states.AggregatingState.keyed(ctx, "s", int, Sum())
    total("a").add(1)
    total("b").add(2)
    with pytest.raises(NotImplementedError, match="Sum does not define 'merge'"):
        total("a").merge(total("b"))


def test_a_map_is_in_the_order_of_its_keys():
    ctx, _ = context()
    counts = states.MapState(ctx, "s", int, str)
    for key in (3, -1, 2):
        counts[key] = str(key)
    del counts[2]
    assert list(counts.items()) == [(-1, "-1"), (3, "3")]
    assert 3 in counts and 2 not in counts and counts[2] is None
    counts.clear()
    assert list(counts.keys()) == []


def test_a_scan_meets_what_is_written_ahead():
    ctx, _ = context()
    store = ctx.store("s")
    for i in range(2000):
        store.put(f"{i:04}", b"x" * 100)
    seen = []
    for key, _ in store.scan():
        seen.append(key)
        if key.endswith(b"+"):
            continue
        number = int(key)
        if number % 2 == 0:
            store.delete(f"{number + 1:04}")
        if number == 10:
            store.put("0010+", b"")
            store.delete("0012")
    expected = [f"{i:04}".encode() for i in range(0, 2000, 2) if i != 12]
    # 13 was deleted by nobody, since 12 was not met.
    expected[6:6] = [b"0013"]
    assert [key for key in seen if key != b"0010+"] == expected
    assert seen[6] == b"0010+"


class WordCount(fs_api.FSProcessorDriver):
    def init(self, ctx, config):
        self.step = int(config["step"])
        self.store = ctx.getOrCreateKVStore("words")

    def process(self, ctx, source_id, data):
        if not data:
            return
        key = fs_api.ComplexKey(key_group=b"g", key=data, namespace=b"n", user_key=b"u")
        count = int(self.store.get(key) or b"0") + self.step
        self.store.put(key, str(count).encode())
        state = old.KeyedValueStateFactory.from_context_auto_codec(ctx, "typed", b"g", int).new_keyed_value(data, b"n")
        value, found = state.value()
        state.update((value if found else 0) + 1)
        ctx.emit(data + b"=" + str(count).encode(), 0)

    def custom(self, payload):
        return payload[::-1]


def test_a_class_of_the_second_generation_runs_as_it_is():
    harness = Harness(WordCount, {"step": "2"})
    harness.send("a", "", "b", None, "a")
    assert harness.values() == [b"a=2", b"b=2", b"a=4"]
    assert harness.custom(b"abc") == b"cba"
    assert harness.heartbeat()
    typed = harness.state("typed")
    assert typed[bytes.fromhex("01 00000001 67 00000001 61 00000002 766e")] == bytes.fromhex("8000000000000002")


def test_the_old_states_answer_in_pairs():
    ctx, _ = context()
    value = old.ValueState.from_context(ctx, "s", old.IntCodec())
    assert value.value() == (None, False)
    value.update(7)
    assert value.value() == (7, True)
    queue = old.PriorityQueueState.from_context_auto_codec(ctx, "s")
    queue.add(3)
    assert (queue.peek(), queue.poll(), queue.poll()) == ((3, True), (3, True), (None, False))
    words = old.MapState.from_context_auto_key_codec(ctx, "s", old.StringCodec())
    words.put(b"k", "v")
    assert (words.get(b"k"), words.get(b"x"), list(words.all())) == ("v", None, [(b"k", "v")])
    keyed = old.KeyedMapStateFactory.from_context(ctx, "s", b"g", old.StringCodec(), old.IntCodec()).new_keyed_map(b"p", "m")
    keyed.put("a", 1)
    assert (keyed.get("a"), keyed.get("b")) == ((1, True), (None, False))
    with_namespace = old.KeyedListStateFactory.from_context(ctx, "s", b"n", b"g", old.IntCodec()).new_keyed_list(b"p")
    with_namespace.add_all([1, 2])
    plain = old.KeyedListStateFactory.from_context(ctx, "s", b"g", old.IntCodec()).new_keyed_list(b"p", b"n")
    assert plain.get() == [1, 2]

    class Sum(old.AggregateFunc):
        def create_accumulator(self):
            return 0

        def add(self, value, accumulator):
            return value + accumulator

        def get_result(self, accumulator):
            return str(accumulator)

    total = old.AggregatingState.from_context_auto_codec(ctx, "s", Sum(), int)
    total.add(2)
    assert total.get() == ("2", True)
    least = old.KeyedReducingStateFactory.from_context(ctx, "s", b"g", old.IntCodec(), min).new_reducing_state(b"p", b"")
    least.add(4)
    least.add(3)
    assert least.get() == (3, True)
    assert fs_api.ValueState is old.ValueState
    with pytest.raises(fs_api.KvError):
        old.PriorityQueueState.from_context(ctx, "s", old.JsonCodec())
