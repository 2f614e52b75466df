# Copyright 2024 Function Stream Org.
# SPDX-License-Identifier: Apache-2.0

"""Drives a server by the client of the second generation: second_generation.py HOST:PORT STEP."""

import sys

from counting import WordCount
from fs_client import FsClient, LogInput, LogOutput, WasmTaskBuilder
from fs_client.exceptions import ServerError

NAME = "word-count"


def main(address, step):
    host, port = address.rsplit(":", 1)
    with FsClient(host, int(port)) as client:
        if step.startswith("create"):
            config = (
                WasmTaskBuilder()
                .set_name(NAME)
                .set_builtin_serialization(True)
                .configure_checkpoint(True, 5)
                .add_init_config("step", "1")
                .add_input_group([LogInput("in")])
                .add_output(LogOutput("out"))
                .build()
            )
            try:
                print(client.create_python_function_from_config(config, WordCount))
            except ServerError as error:
                print(type(error).__name__, error.status_code, error.error_code)
            return
        if step in ("start", "stop", "drop"):
            print(getattr(client, f"{step}_function")(NAME))
        if step != "drop":
            for shown in client.show_functions().functions:
                print(shown.name, shown.task_type, shown.status)


main(*sys.argv[1:])
