# Copyright 2024 Function Stream Org.
# SPDX-License-Identifier: Apache-2.0

"""Random writes, reads, scans and failures, beside a dict of which it is plain that it is right."""

import random

import pytest
from functionstream import Function
from functionstream.testing import Harness, RecordFailed

KEYS = [f"k{i}".encode() for i in range(12)]


class Model(Function):
    """Does to a store and to a dict what each record's seed says, and compares what it reads."""

    committed = {}
    at_checkpoint = {}

    def init(self, ctx):
        # A new instance goes on from there, and is given again what came since.
        Model.committed = dict(Model.at_checkpoint)
        self.store = ctx.store("s")

    def process(self, ctx, record):
        chance = random.Random(record.value)
        model = dict(Model.committed)
        for _ in range(chance.randrange(1, 12)):
            key, value = chance.choice(KEYS), bytes(chance.randrange(256) for _ in range(chance.choice((0, 1, 8, 3000))))
            what = chance.randrange(8)
            if what == 0:
                self.store.put(key, value)
                model[key] = value
            elif what == 1:
                self.store.delete(key)
                model.pop(key, None)
            elif what == 2:
                self.store.merge(key, value)
                model[key] = model.get(key, b"") + value
            elif what == 3:
                start, end = sorted((key, chance.choice(KEYS)))
                self.store.delete_range(start, end)
                model = {known: kept for known, kept in model.items() if not start <= known < end}
            elif what == 4:
                assert list(self.store.scan()) == sorted(model.items())
            elif what == 5:
                self.store.delete_prefix(key[:2])
                model = {known: kept for known, kept in model.items() if not known.startswith(key[:2])}
            else:
                assert self.store.get(key) == model.get(key)
        if chance.randrange(4) == 0:
            raise ValueError("on purpose")
        Model.committed = model
        ctx.emit(record.value)


@pytest.mark.parametrize("seed", range(16))
def test_a_store_is_a_dict_whose_failed_records_left_nothing(seed):
    Model.committed, Model.at_checkpoint = {}, {}
    chance = random.Random(seed)
    harness = Harness(Model)
    emitted = []
    for _ in range(8):
        batch = [str(chance.random()).encode() for _ in range(chance.randrange(1, 10))]
        at = 0
        while at < len(batch):
            try:
                harness.send(*batch[at:])
                emitted += batch[at:]
                break
            except RecordFailed as failed:
                assert failed.message.startswith("ValueError: on purpose"), failed.message
                emitted += batch[at : at + failed.record]
                at += failed.record + 1
        if chance.randrange(3) == 0:
            harness.checkpoint()
            Model.at_checkpoint = dict(Model.committed)
    assert harness.values() == emitted
    assert harness.state("s") == {b"\x00" + key: value for key, value in Model.committed.items()}
