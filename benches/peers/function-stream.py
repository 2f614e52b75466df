#!/usr/bin/env python3
# Copyright 2024 Function Stream Org.
# SPDX-License-Identifier: Apache-2.0

"""Function Stream as a program of benches/pulsar.py: becomes a process of a server on the broker, whose function a client creates.

FNSTREAM_BIN names the program and FNSTREAM_EXAMPLES the folder of the example functions; the rest is what benches/pulsar.py tells.
"""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
EXAMPLES = {"money": "example_basic_rust.wasm", "keyed-count": "example_keyed_count_rust.wasm"}
PATIENCE = 120


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def create(program, port, told):
    """Creates the function as soon as somebody listens, and says that it runs."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            break
        except OSError:
            if time.monotonic() > until:
                sys.exit(f"nobody listens at port {port}")
            time.sleep(0.01)
    examples = Path(os.environ.get("FNSTREAM_EXAMPLES") or ROOT / "bin")
    client = [program, "client", "-s", f"http://127.0.0.1:{port}", "create", "-n", "bench", "-r", told["PARTITIONS"]]
    client += ["-a", examples / EXAMPLES[told["WORKLOAD"]], "-i", told["INPUT"], "-o", told["OUTPUT"]]
    made = subprocess.run(client, stdout=subprocess.DEVNULL)
    if made.returncode:
        sys.exit("the function could not be created")
    print("ready", flush=True)


def main():
    told = {name.removeprefix("BENCH_"): value for name, value in os.environ.items() if name.startswith("BENCH_")}
    program = os.environ.get("FNSTREAM_BIN") or str(ROOT / "bin" / "function-stream")
    port = free_port()
    if os.fork() == 0:
        create(program, port, told)
        return
    # This process is the server from here on: what is measured of it is the server's.
    os.environ |= {"FUNCTION_STREAM_PULSAR_PROPERTIES": f"admin_url={told['ADMIN']}", "FUNCTION_STREAM_HOME": told["FOLDER"]}
    server = [program, "server", "--pulsar-url", told["URL"], "--group", f"bench-{told['GROUP']}", "--grpc-listen", "none"]
    server += ["--listen", f"127.0.0.1:{port}", "--data-dir", f"{told['FOLDER']}/data"]
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.execv(program, server)


if __name__ == "__main__":
    main()
