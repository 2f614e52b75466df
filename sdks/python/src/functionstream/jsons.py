# Copyright 2024 Function Stream Org.
# SPDX-License-Identifier: Apache-2.0

"""JSON, read and written for each record: what the module json does, without what it makes anew for each call."""

import json
import json.encoder as _encoder

_ENCODER = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False)
_SCAN = json.JSONDecoder().scan_once


def _maker():
    """Returns what gives the parts of a value's JSON; that of the module json would be made for each value."""
    if _encoder.c_make_encoder is None or _encoder.c_encode_basestring is None:
        return lambda value: _ENCODER.iterencode(value)
    # Without marks a value that contains itself ends as too deep a recursion does.
    make = _encoder.c_make_encoder(
        None, _ENCODER.default, _encoder.c_encode_basestring, None, ":", ",", False, False, True
    )
    return lambda value: make(value, 0)


_PARTS = _maker()


def write(value):
    """Returns a value as JSON, without spaces between its parts."""
    return "".join(_PARTS(value)).encode()


def read(data):
    """Returns the value of JSON, in bytes."""
    try:
        text = data.decode()
        value, end = _SCAN(text, 0)
    except (StopIteration, UnicodeDecodeError):
        return json.loads(data)
    # Whatever comes behind it, or before, is for the careful way.
    return value if end == len(text) else json.loads(data)
