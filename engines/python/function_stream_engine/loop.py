# Copyright 2024 Function Stream Org.
# SPDX-License-Identifier: Apache-2.0

"""An event loop for a place without sockets and threads: what it waits for is time, and other coroutines."""

import asyncio
import selectors
import socket
import threading
import time


class _Waiting(selectors.BaseSelector):
    """Nothing can be registered; waiting is sleeping."""

    def register(self, fileobj, events, data=None):
        raise OSError("a function has no sockets")

    def unregister(self, fileobj):
        raise KeyError(fileobj)

    def select(self, timeout=None):
        if timeout is None:
            raise RuntimeError("the coroutine waits for something that nobody does")
        if timeout > 0:
            time.sleep(timeout)
        return []

    def get_map(self):
        return {}


class Loop(asyncio.SelectorEventLoop):
    """A loop without the pipe by which other threads wake it: there are none."""

    def __init__(self, selector=None):
        super().__init__(selector or _Waiting())

    def _make_self_pipe(self):
        self._internal_fds = 0

    def _close_self_pipe(self):
        pass

    def _write_to_self(self):
        pass


_loop = None


def run(coroutine):
    """Runs a coroutine to its end."""
    global _loop
    if _loop is None:
        _loop = Loop()
    return _loop.run_until_complete(coroutine)


def install():
    """Makes it the loop of asyncio.run, too."""
    asyncio.new_event_loop = Loop
    asyncio.events.new_event_loop = Loop
    socket.getaddrinfo = _no_network
    socket.socket.connect = _no_network
    threading.Thread.start = _no_threads


def _no_network(*args, **kwargs):
    raise OSError("a function has no network")


def _no_threads(thread):
    raise RuntimeError("a function has no threads")
