# Copyright 2024 Function Stream Org.
# SPDX-License-Identifier: Apache-2.0

"""Functions for Function Stream, written in Python.

The shortest function takes a record and returns what is to be emitted::

    from functionstream import function

    @function
    def add_one(record):
        event = record.json()
        event["money"] += 1
        return event

A class can do more: keep state, set timers, answer requests. See :class:`Function` and :class:`Context`; the states are in
:mod:`functionstream.states`, and :mod:`functionstream.testing` runs a function in the tests of its own project.
"""

from .context import Context, Metadata
from .errors import FunctionError
from .function import Function, function
from .record import EVENT_TIME, PROCESSING_TIME, Output, Record, Timer
from .store import Store

__all__ = [
    "EVENT_TIME",
    "PROCESSING_TIME",
    "Context",
    "Function",
    "FunctionError",
    "Metadata",
    "Output",
    "Record",
    "Store",
    "Timer",
    "function",
]
