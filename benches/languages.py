#!/usr/bin/env python3
# Copyright 2024 Function Stream Org.
# SPDX-License-Identifier: Apache-2.0

"""The same functions in all languages: processor time of a record, beside a closure in the engine and beside the interpreters themselves.

    benches/languages.py                 a table for money and one for keyed-count
    ROUNDS=3 RECORDS=300000 benches/languages.py

Each program runs in turns, ROUNDS times, and the least counts: whatever else the machine does can only add. Python and JavaScript are
measured by their own interpreters, too, without a server, where these are there (CPython, `node --jitless`): the function in a plain
loop (loop.py, loop.mjs), and the function with the whole SDK (sdk.py, sdk.mjs).
"""

import itertools
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BINARY = Path(os.environ.get("FNSTREAM_BIN", ROOT / "bin" / "function-stream"))
ROUNDS = int(os.environ.get("ROUNDS", 3))
RECORDS = int(os.environ.get("RECORDS", 300_000))

RUST = {"money": "example_basic_rust.wasm", "keyed-count": "example_keyed_count_rust.wasm"}
SOURCES = {"Python": "python/app.py", "JavaScript": "javascript/app.js"}
INTERPRETERS = {
    "Python": ([os.environ.get("PYTHON", "python3")], ".py"),
    "JavaScript": ([os.environ.get("NODE", "node"), "--jitless", "--no-warnings"], ".mjs"),
}
YARDSTICKS = {"loop": "a plain loop", "sdk": "with the SDK"}
# What Python and JavaScript may take: so many times what their own interpreter takes for a plain loop.
DEMANDED = 3


def said(command):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return done.stdout


def bench(workload, *more):
    """Microseconds of processor time of a record."""
    command = [BINARY, "bench", "--workload", workload, "--records", RECORDS, "--json", *more]
    report = json.loads(said(command))
    return (report[0] if isinstance(report, list) else report)["cpu_seconds_per_million"]


def natively(language, yardstick, workload):
    """Microseconds of a record by the language's own interpreter; None if it is not there."""
    command, end = INTERPRETERS[language]
    try:
        return float(said([*command, ROOT / "benches" / "languages" / (yardstick + end), workload, RECORDS]))
    except FileNotFoundError:
        return None


def version(command):
    try:
        return said(command).strip()
    except FileNotFoundError:
        return "none"


def measure(workload, go):
    programs = {
        "native closure": ["--variant", "native"],
        "Rust": ["--archive", ROOT / "bin" / RUST[workload]],
        "Go": ["--archive", go],
    }
    programs |= {name: ["--archive", ROOT / "examples" / workload / source] for name, source in SOURCES.items()}
    found, own = {}, {}
    for _ in range(ROUNDS):
        for name, more in programs.items():
            found[name] = min(found.get(name, float("inf")), bench(workload, *more))
        for which in itertools.product(INTERPRETERS, YARDSTICKS):
            took = natively(*which, workload)
            if took is not None:
                own[which] = min(own.get(which, float("inf")), took)
    return found, own


def table(workload, found, own):
    native = found["native closure"]
    print(f"\n| {workload} | CPU, us per record | times native | ", end="")
    print(" | ".join(f"its interpreter, {said}, us | times that" for said in YARDSTICKS.values()), "|")
    print("|---|---|---|" + "---|---|" * len(YARDSTICKS))
    for name, took in found.items():
        cells = [name, f"{took:.2f}", f"{took / native:.1f}"]
        for yardstick in YARDSTICKS:
            beside = own.get((name, yardstick))
            # The engine's own work is no interpreter's.
            times = (took - native) / beside if beside else 0
            missed = yardstick == "loop" and times > DEMANDED
            cells += [f"{beside:.2f}", f"{times:.1f}{' (more than demanded)' if missed else ''}"] if beside else ["", ""]
        print("|", " | ".join(cells), "|")


def main():
    print(f"{RECORDS:,} records, the least of {ROUNDS} rounds; {os.cpu_count()} processors, {platform.platform()}; ", end="")
    print(f"{version([INTERPRETERS['Python'][0][0], '--version'])}, node {version([INTERPRETERS['JavaScript'][0][0], '--version'])}")
    with tempfile.TemporaryDirectory() as folder:
        for workload in RUST:
            go = Path(folder) / f"{workload}.wasm"
            said([BINARY, "build", ROOT / "examples" / workload / "go", "-o", go])
            table(workload, *measure(workload, go))


main()
