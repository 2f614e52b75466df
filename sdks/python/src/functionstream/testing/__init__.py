# Copyright 2024 Function Stream Org.
# SPDX-License-Identifier: Apache-2.0

"""Runs a function without a server, in the process of its own tests, with state in memory.

It keeps what a server promises: a record that fails leaves nothing in state and outputs, and the records before it do. Like on a
server, the function itself is the same afterwards, and its attributes are as the failed call left them, unless the record had
set a timer, emitted a watermark, or emitted or written more than 1 MiB; then a new function takes over.

Time stands still until a test moves it: :meth:`Harness.watermark` moves event time, :meth:`Harness.time` the machine's clock.

::

    from functionstream.testing import Harness
    from app import add_one

    def test_adds_one():
        harness = Harness(add_one)
        harness.send('{"money":2}')
        assert harness.values() == [b'{"money":3}']
"""

from .harness import Emitted, Harness, RecordFailed

__all__ = ["Emitted", "Harness", "RecordFailed"]
