# Copyright 2024 Function Stream Org.
# SPDX-License-Identifier: Apache-2.0

"""Adds 1 to the money of a person."""

from functionstream import function


@function
def money(record):
    person = record.json()
    return {"name": person["name"], "money": person["money"] + 1, "expected": person.get("expected", 0)}
