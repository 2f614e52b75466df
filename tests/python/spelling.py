# Copyright 2024 Function Stream Org.
# SPDX-License-Identifier: Apache-2.0

"""What the class of the second generation imports."""


def words(data):
    return data.removeprefix(b"words").upper().split()
