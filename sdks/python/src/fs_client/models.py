# Copyright 2024 Function Stream Org.
# SPDX-License-Identifier: Apache-2.0

"""What the client returns."""

from dataclasses import dataclass, field


@dataclass
class FunctionInfo:
    """A function in a line."""

    name: str
    task_type: str
    status: str


@dataclass
class ShowFunctionsResult:
    """The functions that were asked for."""

    status_code: int
    message: str
    functions: list = field(default_factory=list)
