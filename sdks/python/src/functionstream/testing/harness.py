# Copyright 2024 Function Stream Org.
# SPDX-License-Identifier: Apache-2.0

"""A function under test."""

import asyncio
import inspect

from .. import frame
from ..context import Metadata
from ..driver import Driver, Failed
from ..errors import FunctionError
from ..function import _is_function, _maker, find
from ..record import EVENT_TIME, PROCESSING_TIME, Record
from .memory import Memory

# The most calls for timers that may follow each other. On a server there is no such limit, but a test would not end.
_MOST_CALLS = 10_000


class Emitted:
    """A record that the function emitted."""

    def __init__(self, timestamp, output, key, headers, value):
        self.timestamp = timestamp
        self.output = output
        self.key = key
        self.headers = frame.read_headers(headers)
        self.value = value

    def __repr__(self):
        return f"Emitted(output={self.output}, value={self.value!r}, key={self.key!r}, timestamp={self.timestamp})"


class RecordFailed(Exception):
    """A record, or a timer, failed. Its text is the error with its traceback; ``record`` is its index, if it is known."""

    def __init__(self, message, record=None):
        super().__init__(message)
        self.message = message
        self.record = record


class Harness:
    """Runs a function: a class, a decorated function, or the module that has one.

    It has one output, named ``output``, unless ``outputs`` names others, and one input group unless ``inputs`` says otherwise.
    """

    def __init__(self, function, config=None, *, outputs=("output",), inputs=1):
        if inspect.ismodule(function):
            self._make = find(function)
        elif _is_function(function):
            self._make = _maker(function)
        else:
            raise TypeError(f"{function!r} is no function: mark it with @function, or derive the class from Function")
        self._memory = Memory(Emitted)
        self._config = dict(config or {})
        self._outputs = list(outputs)
        self._inputs = inputs
        self._driver = None
        # What there was at the last checkpoint, and the calls since then, to be made again.
        self._committed = self._memory.world.copy()
        self._journal = []
        # How much of what was emitted the test has seen.
        self._seen = [0, 0]
        self._watermarks = {}
        # The watermark that the function was told, and the machine's clock, once it was set.
        self._told = None
        self._now = None
        # The last turn of queued timers that come before the next watermark, once the way to it has begun.
        self._queued = None
        self._checkpoints = 0
        self._start()

    @property
    def function(self):
        """The instance of the function."""
        return self._alive().function

    def send(self, *records, source=0):
        """Processes a batch, then fires the timers that are due. Records are bytes, text, None, or of the class Record.

        If a record fails, nothing of it has happened, all of those before it has, and those after it were not processed.
        """
        self._advance()
        self._process([self._record(record, source) for record in records])
        self._advance()

    def watermark(self, watermark, source=0):
        """Raises the watermark of an input group. The timers of event time fire that are due; then the function is told."""
        if not 0 <= source < self._inputs:
            raise FunctionError(f"there is no input group {source}, the function has {self._inputs}")
        self._watermarks[source] = max(watermark, self._watermarks.get(source, 0))
        self._advance()

    def time(self, now):
        """Moves the machine's clock forward to a time in milliseconds since the Unix epoch; the timers fire that are due."""
        self._now = now if self._now is None else max(now, self._now)
        self._advance()

    def checkpoint(self, number=None):
        """Ends an epoch: what was emitted and written since the last checkpoint stays from now on."""
        self._checkpoints = self._checkpoints + 1 if number is None else number
        self._call(lambda driver: driver.take_checkpoint(self._checkpoints))
        self._committed = self._memory.world.copy()
        self._journal.clear()
        self._advance()

    def heartbeat(self):
        """Asks whether the function is well. If it is not, a new instance goes on from the last checkpoint."""
        well = self._call(lambda driver: driver.check_heartbeat())
        if not well:
            self.restart()
        return well

    def custom(self, payload):
        """Sends a request, and returns the answer. If the request fails, a new instance takes over, like on a server."""
        try:
            return self._alive().custom(payload)
        except Failed as failed:
            raise self._give_up(failed, 0) from None

    def exec(self, class_name, modules=()):
        """Sends modules, each a (name, bytes)."""
        self._call(lambda driver: driver.exec(class_name, list(modules)))

    def close(self):
        """The last call of the instance."""
        self._call(lambda driver: driver.close())

    def restart(self):
        """Drops the instance as if the process had died. A new one goes on from the last checkpoint, and gets the inputs since
        then again."""
        self._restore()
        self._advance()

    def _restore(self):
        self._driver = None
        world = self._memory.world = self._committed.copy()
        self._start()
        for reached, turn, call in self._journal:
            world.reached, world.turn = dict(reached), turn
            try:
                call(self._driver)
            except Failed as failed:
                message = f"what was processed before failed when it was repeated: {failed.message}"
                raise RecordFailed(message) from None

    def _start(self):
        metadata = Metadata("test", 1, 0, self._outputs)
        try:
            self._driver = Driver(self._make, self._memory, self._config, metadata, _run)
        except Failed as failed:
            raise RecordFailed(failed.message) from None

    def emitted(self):
        """Returns what was emitted since the last call, each of the class Emitted."""
        return self._news(0, self._memory.world.output)

    def values(self):
        """Returns the values that were emitted since the last call, and forgets the rest."""
        return [emitted.value for emitted in self.emitted()]

    def watermarks(self):
        """Returns the watermarks that were emitted since the last call, as (output, watermark)."""
        return self._news(1, self._memory.world.watermarks)

    def _news(self, which, emitted):
        since = emitted[self._seen[which] :]
        self._seen[which] = len(emitted)
        return since

    def timers(self):
        """Returns the timers that are set as (domain, time, key), in the order of domain and time."""
        find_all = self._memory.world.find
        return [timer for domain in (EVENT_TIME, PROCESSING_TIME) for timer in find_all(domain, lambda at, turn: True)]

    def state(self, store):
        """Returns the state of a store as a dict of complete keys."""
        names = self._memory.stores
        if store not in names:
            return {}
        return {key: value for (of, key), value in self._memory.world.state.items() if of == names.index(store)}

    def _record(self, record, source):
        if isinstance(record, Record):
            headers = frame.write_headers(record.headers)
            return (record.timestamp, record.source or source, record.key, headers, record.value)
        return (0, source, None, b"", record.encode() if isinstance(record, str) else record)

    def _alive(self):
        if self._driver is None:
            raise RecordFailed("the function could not be made")
        return self._driver

    def _call(self, run):
        try:
            return run(self._alive())
        except Failed as failed:
            raise RecordFailed(failed.message) from None

    def _process(self, records):
        if not records:
            return
        driver, data = self._alive(), frame.build(records)
        kept = self._kept(lambda driver: driver.process_batch(data))
        try:
            driver.process_batch(data)
        except Failed as failed:
            if failed.undone:
                before = frame.build(records[: failed.index])
                self._journal.append((*kept[:2], lambda driver: driver.process_batch(before)))
                raise RecordFailed(failed.message, failed.index) from None
            told = self._give_up(failed, len(records))
            if told.record is not None and self._driver is not None:
                try:
                    self._process(records[: told.record])
                except RecordFailed as again:
                    told = RecordFailed(f"{told.message}; and then, in a new function: {again.message}", told.record)
            raise told from None
        self._journal.append(kept)

    def _kept(self, call):
        """A call for the journal, with what time it is."""
        return (dict(self._memory.world.reached), self._memory.world.turn, call)

    def _give_up(self, failed, records):
        """A call failed: a new function goes on from where it stood before that."""
        message = failed.message
        try:
            self._restore()
        except RecordFailed as again:
            message = f"{message}; and then: {again.message}"
        return RecordFailed(message, failed.index if failed.index < records else None)

    def _attempt(self, timers, run):
        kept = self._kept(run)
        try:
            run(self._alive())
        except Failed as failed:
            raise self._give_up(failed, timers) from None
        self._journal.append(kept)

    def _rise(self):
        """The watermark that the function is to be told, with the input group that held it back until now."""
        if len(self._watermarks) < self._inputs:
            return None
        group, watermark = min(self._watermarks.items(), key=lambda item: (item[1], item[0]))
        return (group, watermark) if self._told is None or self._told < watermark else None

    def _advance(self):
        """Fires what is due, then tells the watermark that made it so, until there is nothing to tell."""
        for _ in range(_MOST_CALLS):
            rise = self._rise()
            due = self._next(rise and rise[1])
            if due:
                self._fire(due)
            elif rise:
                self._memory.world.reached[EVENT_TIME] = rise[1]
                self._attempt(0, lambda driver, rise=rise: driver.process_watermark(*rise))
                self._told, self._queued = rise[1], None
            else:
                return
        raise RecordFailed(
            f"{_MOST_CALLS} calls for timers, and there is still one due: timers set timers that are due already, without end"
        )

    def _next(self, rise):
        """The timers that fire next, in one call; those that are set from now on know what time it is."""
        world = self._memory.world
        world.reached = {EVENT_TIME: self._told, PROCESSING_TIME: self._now}
        world.reached = {domain: time for domain, time in world.reached.items() if time is not None}
        if self._now is not None:
            due = world.due(PROCESSING_TIME, self._now)
            if due:
                return due
            queued = world.queued(PROCESSING_TIME, world.turn)
            if queued:
                world.turn += 1
                return queued
        if rise is not None and self._queued is None:
            self._queued = world.turn
            world.turn += 1
        queued = world.queued(EVENT_TIME, world.turn if self._queued is None else self._queued)
        if queued:
            world.turn += 1
            return queued
        due = [] if rise is None else world.due(EVENT_TIME, rise)
        if due:
            world.reached[EVENT_TIME] = max(due[0][1], world.reached.get(EVENT_TIME, due[0][1]))
        return due

    def _fire(self, due):
        """Fires timers in one call, or those before one that fails, which stays set."""
        data = frame.build([(at, domain, key, b"", b"") for domain, at, key in due])

        def fire(driver):
            for domain, _, key in due:
                self._memory.world.timers.pop((domain, key), None)
            driver.on_timers(data)

        try:
            self._attempt(len(due), fire)
        except RecordFailed as failed:
            if failed.record is None and len(due) > 1 and self._driver is not None:
                half = len(due) // 2
                self._fire(due[:half])
                self._fire(due[half:])
                return
            index = failed.record or 0
            if index and self._driver is not None:
                self._fire(due[:index])
            _, at, key = due[index]
            raise RecordFailed(f"the timer '{key.decode(errors='replace')}' of {at}: {failed.message}") from None


def _run(coroutine):
    return asyncio.run(coroutine)
