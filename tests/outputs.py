# Copyright 2024 Function Stream Org.
# SPDX-License-Identifier: Apache-2.0

"""Compares the outputs of a function with its inputs, whichever broker both were read from.

Inputs and outputs are triples of a partition, a key and a value, in the order of their partitions. What is found is a dictionary:
nothing but zeros in `lost`, `duplicated`, `wrong` and `out_of_order` is right.
"""

import collections
import json


def number_of(name):
    """The number of a record of `money`, which its name begins with."""
    return int(name.split("-", 1)[0])


def money(inputs, outputs, ordered_by_key=False):
    """Each record's money is one more, once. Order is that of a partition, or only that of a key within it."""
    wanted = collections.Counter()
    for _, key, value in inputs:
        person = json.loads(value)
        wanted[key, person["name"], person["money"] + 1] += 1
    found, out_of_order, last = collections.Counter(), 0, {}
    for partition, key, value in outputs:
        person = json.loads(value)
        found[key, person["name"], person["money"]] += 1
        number, line = number_of(person["name"]), (partition, key) if ordered_by_key else partition
        out_of_order += number < last.get(line, -1)
        last[line] = number
    return compared(wanted, found, out_of_order)


def copy(inputs, outputs):
    """Each record of `money` comes as it is, once, and those of a key in their order."""
    wanted = collections.Counter((key, value) for _, key, value in inputs)
    found, out_of_order, last = collections.Counter(), 0, {}
    for partition, key, value in outputs:
        found[key, value] += 1
        number = number_of(json.loads(value)["name"])
        out_of_order += number < last.get((partition, key), -1)
        last[partition, key] = number
    return compared(wanted, found, out_of_order)


def compared(wanted, found, out_of_order):
    excess = found - wanted
    duplicated = sum(times for output, times in excess.items() if output in wanted)
    return {
        "inputs": wanted.total(),
        "outputs": found.total(),
        "lost": (wanted - found).total(),
        "duplicated": duplicated,
        "wrong": excess.total() - duplicated,
        "out_of_order": out_of_order,
    }


def keyed_count(inputs, outputs):
    """Each key that came n times has the counts 1 to n, once, in order and in one partition."""
    wanted = collections.Counter(key for _, key, _ in inputs)
    seen, last = collections.defaultdict(set), {}
    found, duplicated, wrong, out_of_order = 0, 0, 0, 0
    for partition, key, value in outputs:
        found += 1
        count = int.from_bytes(value, "little")
        if len(value) != 8 or not 1 <= count <= wanted[key]:
            wrong += 1
            continue
        duplicated += count in seen[key]
        seen[key].add(count)
        at, before = last.get(key, (partition, 0))
        out_of_order += at != partition or count <= before
        last[key] = (partition, count)
    return {
        "inputs": wanted.total(),
        "outputs": found,
        "keys": len(wanted),
        "lost": sum(times - len(seen[key]) for key, times in wanted.items()),
        "duplicated": duplicated,
        "wrong": wrong,
        "out_of_order": out_of_order,
    }


def scatter(inputs, outputs):
    """Each record comes as one to four, which say their number and how many they are; all of them once, in order and together."""
    wanted = collections.Counter((key, value) for _, key, value in inputs)
    whole, begun = collections.Counter(), {}
    duplicated, wrong, out_of_order = 0, 0, 0
    for partition, key, value in outputs:
        record, number, count = value.rsplit(b" ", 2)
        of, number, count = (key, record), int(number), int(count)
        if of not in wanted or not 0 <= number < count <= 4:
            wrong += 1
        elif begun.get((partition, key)) == (of, number, count):
            # The next of those that were begun.
            begun[partition, key] = (of, number + 1, count)
        elif number == 0:
            duplicated += whole[of] > 0
            out_of_order += (partition, key) in begun
            begun[partition, key] = (of, 1, count)
        elif whole[of]:
            duplicated += 1
        else:
            out_of_order += 1
        if begun.get((partition, key)) == (of, count, count):
            del begun[partition, key]
            whole[of] += 1
    return {
        "inputs": wanted.total(),
        "outputs": whole.total(),
        "lost": (wanted - whole).total(),
        "duplicated": duplicated,
        "wrong": wrong,
        "out_of_order": out_of_order,
    }
