# Copyright 2024 Function Stream Org.
# SPDX-License-Identifier: Apache-2.0

"""JSON is what the module json makes of it."""

import json

import pytest
from functionstream import jsons

VALUES = [None, True, 0, -1.5, "é\n\"", [], {}, [1, [2, {"a": None}]], {"name": "rbt", "money": 2, "x": [1.0, "y"]}, (1, 2), {1: 2}]


@pytest.mark.parametrize("value", VALUES)
def test_it_is_written_as_json_does(value):
    assert jsons.write(value).decode() == json.dumps(value, separators=(",", ":"), ensure_ascii=False)


@pytest.mark.parametrize("text", ["1", ' {"a": 1} ', "[1]\n", '"é"', "\t[ ]", "NaN", "﻿[1]"])
def test_it_is_read_as_json_does(text):
    for data in (text.encode(), text.encode("utf-16")):
        try:
            expected = repr(json.loads(data))
        except ValueError as error:
            with pytest.raises(type(error)):
                jsons.read(data)
        else:
            assert repr(jsons.read(data)) == expected


@pytest.mark.parametrize("data", [b"", b"{", b'{"a":1}x', b"[1,]", b"nope", b"\xff"])
def test_what_is_none_is_an_error(data):
    with pytest.raises(ValueError):
        jsons.read(data)


def test_values_that_json_does_not_have_are_errors():
    with pytest.raises(TypeError, match="Object of type set is not JSON serializable"):
        jsons.write({1})
    endless = []
    endless.append(endless)
    with pytest.raises((ValueError, RecursionError)):
        jsons.write(endless)
    assert jsons.write([1]) == b"[1]"
