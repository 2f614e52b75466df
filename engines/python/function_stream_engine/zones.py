# Copyright 2024 Function Stream Org.
# SPDX-License-Identifier: Apache-2.0

"""The time zones, in the snapshot: read from the package tzdata when the engine is built."""

import io
import os
import zoneinfo
import zoneinfo._common

import tzdata


def _read():
    zones, root = {}, os.path.join(os.path.dirname(tzdata.__file__), "zoneinfo")
    for folder, _, files in os.walk(root):
        for file in files:
            path = os.path.join(folder, file)
            with open(path, "rb") as data:
                content = data.read()
            if content.startswith(b"TZif"):
                zones[os.path.relpath(path, root).replace(os.sep, "/")] = content
    return zones


_ZONES = _read()


def _load(key):
    try:
        return io.BytesIO(_ZONES[key])
    except KeyError:
        raise zoneinfo.ZoneInfoNotFoundError(f"No time zone found with key {key}") from None


def install():
    """Makes zoneinfo find them."""
    zoneinfo._common.load_tzdata = _load
    # The folder of the build is not there any more.
    zoneinfo.reset_tzpath(())
    zoneinfo.available_timezones = lambda: set(_ZONES)
