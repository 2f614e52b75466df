# Copyright 2024 Function Stream Org.
# SPDX-License-Identifier: Apache-2.0

"""One function in a host's hands: calls in, everything that they did passed on before they return."""

import inspect

from . import trace
from .context import Context
from .errors import BatchError
from .frame import Columns
from .function import emit_result
from .record import Record, Timer

#: The index that no record has: which one failed is not known.
NONE = 0xFFFFFFFF


class Failed(Exception):
    """A call failed. Its text is the error's line, and the traceback below it."""

    def __init__(self, message, index=NONE, undone=False):
        super().__init__(message)
        self.message = message
        #: Which record, or timer, failed.
        self.index = index
        #: Nothing is left of it, and all that those before it did is passed on.
        self.undone = undone


class Driver:
    """A function with its context. ``run`` runs a coroutine to its end."""

    def __init__(self, make, host, config, metadata, run):
        self._ctx = Context(host, metadata, config)
        self._run = run
        self.function = None

        def init():
            self.function = make()
            return self.function.init(self._ctx)

        self._call(init)

    def process_batch(self, data):
        ctx = self._ctx
        process, run = self.function.process, self._settle
        frame = self._columns(data)
        payload = frame.payload
        begin = ctx._begin
        start = index = 0
        try:
            for timestamp, source, attribute, key_end, header_end, end in zip(
                frame.timestamps, frame.channels, frame.attributes, frame.key_ends, frame.header_ends, frame.value_ends
            ):
                record = Record(
                    payload[header_end:end] if attribute < 2 else None,
                    payload[start:key_end] if attribute & 1 else None,
                    timestamp,
                    source,
                    payload[key_end:header_end] if header_end > key_end else (),
                )
                start = end
                begin(timestamp)
                result = process(ctx, record)
                if result is not None:
                    run(result)
                index += 1
        except BaseException as error:
            raise self._failed(error, index) from None
        self._finish()

    def on_timers(self, data):
        ctx, frame, start = self._ctx, self._columns(data), 0
        for index in range(frame.n):
            key = frame.payload[start : frame.key_ends[index]]
            start = frame.value_ends[index]
            timer = Timer(frame.channels[index], key, frame.timestamps[index])
            ctx._begin(timer.at)
            try:
                result = self.function.on_timer(ctx, timer)
                if result is not None:
                    self._settle(result)
            except BaseException as error:
                raise self._failed(error, index) from None
        self._finish()

    def process_watermark(self, source, watermark):
        self._call(lambda: self.function.process_watermark(self._ctx, source, watermark))

    def take_checkpoint(self, checkpoint):
        self._call(lambda: self.function.take_checkpoint(self._ctx, checkpoint))

    def check_heartbeat(self):
        return bool(self._call(lambda: self.function.check_heartbeat(self._ctx)))

    def close(self):
        self._call(lambda: self.function.close(self._ctx))

    def exec(self, class_name, modules):
        self._call(lambda: self.function.exec(self._ctx, class_name, modules))

    def custom(self, payload):
        def answer():
            result = self.function.custom(self._ctx, payload)
            if inspect.iscoroutine(result):
                result = self._run(result)
            if isinstance(result, str):
                return result.encode()
            if not isinstance(result, (bytes, bytearray, memoryview)):
                raise TypeError(f"'custom' returned a value of the type '{type(result).__name__}', not bytes")
            return bytes(result)

        return self._call(answer)

    def _columns(self, data):
        try:
            return Columns(data)
        except ValueError as error:
            raise Failed(str(error)) from None

    def _call(self, run):
        try:
            result = run()
            if inspect.iscoroutine(result):
                result = self._run(result)
        except BaseException as error:
            raise Failed(trace.text(error)) from None
        self._finish()
        return result

    def _settle(self, result):
        """Emits what a call returned, after it has run to its end if it is a coroutine."""
        if inspect.iscoroutine(result):
            result = self._run(result)
        if inspect.isasyncgen(result):
            self._run(self._emit_all(result))
        else:
            emit_result(self._ctx, result)

    async def _emit_all(self, results):
        async for result in results:
            emit_result(self._ctx, result)

    def _failed(self, error, index):
        if isinstance(error, BatchError):
            return Failed(str(error))
        return Failed(trace.text(error), index, self._ctx._undo())

    def _finish(self):
        try:
            self._ctx._finish()
        except Exception as error:
            raise Failed(str(error)) from None
