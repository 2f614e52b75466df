# Copyright 2024 Function Stream Org.
# SPDX-License-Identifier: Apache-2.0

"""Drives a server by the client of the second generation: second_generation.py HOST:PORT STEP [BOOTSTRAP INPUT OUTPUT].

STEP is `create`, `create-again`, `show`, `start`, `stop`, `drop`, or `cycles-N`: N times a function is made and dropped, each with a name
of its own. With topics of Kafka the function reads partition 0 of the one, from the earliest record, and writes to partition 0 of the
other.
"""

import sys

from counting import WordCount
from fs_client import FsClient, KafkaInput, KafkaOutput, LogInput, LogOutput, WasmTaskBuilder
from fs_client.exceptions import ServerError

NAME = "word-count"


def config(name, topics):
    builder = (
        WasmTaskBuilder()
        .set_name(name)
        .set_builtin_serialization(True)
        .configure_checkpoint(True, 5)
        .add_init_config("step", "1")
    )
    if not topics:
        return builder.add_input_group([LogInput("in")]).add_output(LogOutput("out")).build()
    bootstrap, source, target = topics
    source = KafkaInput(bootstrap, source, f"{name}-group", 0)
    source.data["auto.offset.reset"] = "earliest"
    return builder.add_input_group([source]).add_output(KafkaOutput(bootstrap, target, 0)).build()


def create(client, name, topics):
    return client.create_python_function_from_config(config(name, topics), WordCount)


def main(address, step, *topics):
    host, port = address.rsplit(":", 1)
    with FsClient(host, int(port)) as client:
        if step.startswith("cycles-"):
            for number in range(int(step.removeprefix("cycles-"))):
                create(client, f"{NAME}-{number}", topics)
                client.drop_function(f"{NAME}-{number}")
            return
        if step.startswith("create"):
            try:
                print(create(client, NAME, topics))
            except ServerError as error:
                print(type(error).__name__, error.status_code, error.error_code)
            return
        if step in ("start", "stop", "drop"):
            print(getattr(client, f"{step}_function")(NAME))
        if step != "drop":
            for shown in client.show_functions().functions:
                print(shown.name, shown.task_type, shown.status)


main(*sys.argv[1:])
