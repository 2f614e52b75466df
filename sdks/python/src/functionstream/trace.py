# Copyright 2024 Function Stream Org.
# SPDX-License-Identifier: Apache-2.0

"""Errors as text: the user's own lines, without those of the SDK and of whatever runs it."""

import os
import traceback

#: Files whose frames are not shown begin with one of these.
HIDDEN = [os.path.dirname(__file__), "<frozen importlib", "<frozen runpy"]

# More frames of one error are cut in the middle.
_MOST_FRAMES = 20


def text(error):
    """Returns the line of an error, and the traceback below it, if there is one."""
    told = traceback.TracebackException.from_exception(error)
    of = told
    while of is not None:
        _clean(of)
        of = of.__cause__ or (None if of.__suppress_context__ else of.__context__)
    line = "".join(told.format_exception_only()).rstrip()
    if isinstance(error, SyntaxError):
        # Its own lines say where: the file, the line and the caret.
        where, _, what = line.rpartition("\n")
        return f"{what}\n{where}" if where else what
    first = line.split("\n", 1)[0]
    if not told.stack and told.__cause__ is None:
        return line
    lines = "".join(told.format()).rstrip()
    # The error's own line is the first one already.
    return f"{line}\n{lines.removesuffix(line).rstrip()}" if first else lines


def _clean(told):
    frames = [frame for frame in told.stack if not any(frame.filename.startswith(hidden) for hidden in HIDDEN)]
    if len(frames) > _MOST_FRAMES:
        half = _MOST_FRAMES // 2
        frames = frames[:half] + frames[-half:]
    told.stack[:] = frames
