# Copyright 2024 Function Stream Org.
# SPDX-License-Identifier: Apache-2.0

"""The Python engine: a component of the packed world that runs the source that it is given.

The host sends the source by ``exec`` before ``init``: the class name is ``FILE``, ``FILE:NAME`` or ``:NAME``, and the modules are
files by their paths. An ``exec`` after ``init`` is the function's own. What this module imports is in memory when an instance
starts, since the component is a snapshot of an interpreter that has imported it.
"""

import ast
import gc
import importlib
import os
import random
import sys

from . import stdlib  # imports the standard library; first, so that everything else finds it
from . import loop, modules, zones
from componentize_py_types import Err
from functionstream import trace
from functionstream.context import Metadata
from functionstream.driver import Driver, Failed
from functionstream.errors import BatchError, FunctionError
from functionstream.function import NotFound, find
from functionstream.lists import read_pairs
from wit_world.imports import output, progress, state, timers
from wit_world.exports.function import RecordError

import fs_api
import fs_api_advanced


class Host:
    """The host's own interfaces, whose errors are Python's."""

    def emit_frame(self, data):
        try:
            output.emit_frame(data)
        except Err as error:
            raise BatchError(error.value) from None

    def emit_watermark(self, target, watermark):
        _told(lambda: output.emit_watermark(target, watermark))

    def set_timer(self, domain, key, at):
        _told(lambda: timers.set(timers.Domain(domain), key, at))

    def delete_timer(self, domain, key):
        _told(lambda: timers.delete(timers.Domain(domain), key))

    def open(self, name):
        return _told(lambda: state.open(name))

    def get(self, store, key):
        return _told(lambda: state.get(store, key))

    def write(self, store, ops):
        _told(lambda: state.write(store, ops))

    def scan(self, store, start, end, most_bytes):
        page = _told(lambda: state.scan(store, start, end, most_bytes))
        return read_pairs(page.pairs), page.next


def _told(call):
    try:
        return call()
    except Err as error:
        reason = error.value
        raise FunctionError(reason if isinstance(reason, str) else reason.value) from None


class _Engine:
    """What lasts from one call to the next."""

    make = None
    driver = None


def _load(entry, files):
    """Returns what makes the function of these files."""
    file, _, name = entry.partition(":")
    modules.install({file.name: file.bytes for file in files})
    if not file:
        file = _file_of(name)
    module = modules.run(modules.name_of(file))
    return find(module, name or None)


def _file_of(name):
    """Returns the file that defines a class or a function, without running any."""
    found = []
    for file, data in modules.sources():
        tree = ast.parse(data, file)
        if any(getattr(node, "name", None) == name for node in tree.body):
            found.append(file)
    if not found:
        raise NotFound(f"none of the modules defines '{name}'")
    if len(found) > 1:
        raise NotFound(f"{len(found)} modules define '{name}': " + ", ".join(f"'{file}'" for file in found))
    return found[0]


def _driver():
    if _Engine.driver is None:
        raise Err("the function was not initialized")
    return _Engine.driver


def _answer(call):
    try:
        return call()
    except Failed as failed:
        raise Err(failed.message) from None
    finally:
        _flush()


def _answer_frame(name, data):
    try:
        if _Engine.driver is None:
            raise Failed("the function was not initialized")
        getattr(_Engine.driver, name)(data)
    except Failed as failed:
        if failed.undone:
            progress.undone()
        raise Err(RecordError(failed.index, failed.message)) from None
    finally:
        _flush()


def _flush():
    sys.stdout.flush()
    sys.stderr.flush()


class Function:
    def init(self, config, metadata):
        if _Engine.make is None:
            raise Err("the engine has no source to run")

        def init():
            _Engine.driver = Driver(
                _Engine.make,
                Host(),
                config,
                Metadata(metadata.name, metadata.revision, metadata.task_index, metadata.outputs),
                loop.run,
            )

        _answer(init)

    def process_batch(self, frame):
        _answer_frame("process_batch", frame)

    def process_watermark(self, source, watermark):
        _answer(lambda: _driver().process_watermark(source, watermark))

    def take_checkpoint(self, checkpoint_id):
        _answer(lambda: _driver().take_checkpoint(checkpoint_id))

    def check_heartbeat(self):
        try:
            return _answer(_driver().check_heartbeat)
        except Err as error:
            print(error.value, file=sys.stderr)
            return False

    def close(self):
        _answer(_driver().close)

    def exec(self, class_name, modules):
        if _Engine.driver is not None:
            files = [(module.name, module.bytes) for module in modules]
            return _answer(lambda: _driver().exec(class_name, files))
        # The numbers of the snapshot would be the same in all instances.
        random.seed()
        try:
            _Engine.make = _load(class_name, modules)
        except NotFound as error:
            raise Err(str(error)) from None
        except BaseException as error:
            raise Err(_explained(error)) from None
        finally:
            _flush()

    def custom(self, payload):
        return _answer(lambda: _driver().custom(payload))


class TimerHandler:
    def on_timers(self, frame):
        _answer_frame("on_timers", frame)


def _explained(error):
    """Returns an error of loading, with what to do about a module that is missing."""
    text = trace.text(error)
    if isinstance(error, ModuleNotFoundError) and error.name:
        line, _, rest = text.partition("\n")
        return f"{line}: {modules.advice(error.name)}\n{rest}".rstrip()
    return text


trace.HIDDEN += [os.path.dirname(__file__), os.path.dirname(importlib.__file__)]
loop.install()
zones.install()
sys.stdout.reconfigure(line_buffering=True)
# What is there now stays: the collector need not look at it, so its pages stay shared by all instances.
gc.collect()
gc.freeze()
