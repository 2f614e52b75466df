# Copyright 2024 Function Stream Org.
# SPDX-License-Identifier: Apache-2.0

"""A class of the second generation, which imports a module of its own."""

import spelling
from fs_api import FSProcessorDriver
from fs_api_advanced import IntCodec, KeyedValueStateFactory


class WordCount(FSProcessorDriver):
    def init(self, ctx, config):
        self.step = int(config["step"])
        self.counts = KeyedValueStateFactory.from_context(ctx, "counts", b"words", IntCodec())

    def process(self, ctx, source_id, data):
        for word in spelling.words(data):
            state = self.counts.new_keyed_value(word, b"")
            count, found = state.value()
            count = (count if found else 0) + self.step
            state.update(count)
            ctx.emit(b"%s=%d" % (word, count))
