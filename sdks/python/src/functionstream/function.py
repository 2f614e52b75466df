# Copyright 2024 Function Stream Org.
# SPDX-License-Identifier: Apache-2.0

"""What a function is: a class, or a plain function with a decorator; and how it is found in a module."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from . import jsons
from .record import Output

if TYPE_CHECKING:
    from .context import Context
    from .record import Record, Timer

F = TypeVar("F", bound=Callable[..., Any])

_MARK = "__functionstream__"
_JSON = (dict, list, tuple, bool, int, float)


class Function:
    """A function as a class. Derive from it, and define what it needs; only ``process`` must be there.

    Any of its methods may be ``async``. What ``process`` and ``on_timer`` return or yield is emitted, see :func:`function`.
    An exception fails the record, which leaves nothing in state and outputs.

    Attributes live as long as the instance, which is replaced after a failure, a restart and an update, and now and then to
    give memory back. What has to last belongs into state.
    """

    def init(self, ctx: Context) -> Any:
        """Called once, before anything else: the place to open stores. The configuration is ``ctx.config``."""

    def process(self, ctx: Context, record: Record) -> Any:
        """Processes a record."""
        raise NotImplementedError(f"{type(self).__name__} does not define 'process'")

    def on_timer(self, ctx: Context, timer: Timer) -> Any:
        """Handles a timer that is due. It is not set any more."""
        raise NotImplementedError(f"{type(self).__name__} sets timers, but does not define 'on_timer'")

    def process_watermark(self, ctx: Context, source: int, watermark: int) -> Any:
        """No input is expected to bring a record older than ``watermark``; ``source`` held it back until now."""

    def take_checkpoint(self, ctx: Context, checkpoint: int) -> Any:
        """The end of an epoch. What is emitted and written here belongs to it."""

    def check_heartbeat(self, ctx: Context) -> Any:
        """Returns whether the function is well. If it is not, a new instance goes on from the last commit."""
        return True

    def close(self, ctx: Context) -> Any:
        """The last call of an instance."""

    def exec(self, ctx: Context, class_name: str, modules: list[tuple[str, bytes]]) -> Any:
        """Receives modules, a list of (name, bytes), from a user of the function."""

    def custom(self, ctx: Context, payload: bytes) -> Any:
        """Answers a request from a user of the function, bytes with bytes."""
        return payload


def function(run: F) -> F:
    """Makes a plain function the function of its module. It takes a record, or the context and a record.

    What it returns is emitted to the first output, with the time of the record: bytes and text as they are; dicts, lists,
    numbers and bools as JSON; an :class:`~functionstream.Output` as it says; and nothing for None. One that yields emits each
    of what it yields. It may be ``async``.
    """
    if inspect.isclass(run):
        raise TypeError(f"@function is for plain functions; derive the class '{run.__name__}' from functionstream.Function")
    count = _parameters(run)
    if count not in (1, 2):
        raise TypeError(f"'{run.__name__}' takes {count} parameters: a function takes (record) or (ctx, record)")
    setattr(run, _MARK, count)
    return run


def _parameters(run):
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = inspect.signature(run).parameters.values()
    return sum(1 for parameter in parameters if parameter.kind in kinds and parameter.default is parameter.empty)


class _Plain(Function):
    """The function of a decorated one."""

    def __init__(self, run):
        if getattr(run, _MARK) == 1:
            self.process = lambda ctx, record: run(record)
        else:
            self.process = run


class NotFound(Exception):
    """A module has no function, or more than one."""


def _is_function(value):
    if inspect.isclass(value):
        return issubclass(value, Function) and value is not Function
    return callable(value) and hasattr(value, _MARK)


def find(module, name=None):
    """Returns what makes the function of a module: of that name, or the only one that the module defines."""
    file = getattr(module, "__file__", None) or module.__name__
    if name:
        found = getattr(module, name, None)
        if found is None:
            raise NotFound(f"'{file}' has no '{name}'")
        if not _is_function(found):
            raise NotFound(
                f"'{name}' of '{file}' is no function: mark it with @function, or derive the class from functionstream.Function"
            )
        return _maker(found)
    own = {
        id(value): name
        for name, value in vars(module).items()
        if _is_function(value) and getattr(value, "__module__", None) == module.__name__
    }
    if not own:
        raise NotFound(
            f"'{file}' defines no function: mark one with @function, or derive a class from functionstream.Function"
        )
    if len(own) > 1:
        names = " and ".join(f"'{name}'" for name in own.values())
        raise NotFound(f"'{file}' defines {len(own)} functions, {names}: name one by the setting 'class_name'")
    return _maker(getattr(module, next(iter(own.values()))))


def _maker(found):
    if not inspect.isclass(found):
        return lambda: _Plain(found)
    # Classes of the second generation are called by other names.
    return getattr(found, "_functionstream", found)


def emit_result(ctx, value):
    """Emits what a function returned."""
    if value.__class__ is bytes or value.__class__ is str:
        ctx.emit(value)
    elif isinstance(value, Output):
        ctx.emit(
            value.value, value.output, key=value.key, headers=value.headers, timestamp=value.timestamp
        )
    elif isinstance(value, _JSON):
        ctx.emit(jsons.write(value))
    elif isinstance(value, (bytes, str, bytearray, memoryview)):
        ctx.emit(value)
    elif inspect.isgenerator(value):
        for one in value:
            if one is not None:
                emit_result(ctx, one)
    elif value is not None:
        raise TypeError(
            f"the function returned a value of the type '{type(value).__name__}', which cannot be emitted: return bytes, str, "
            "an Output, or something that JSON has"
        )
