#!/usr/bin/env python3
# Copyright 2024 Function Stream Org.
# SPDX-License-Identifier: Apache-2.0

"""Function Stream, Kafka Streams and a plain copy of librdkafka at the same work on one broker, in turns.

Starts a broker of Apache Kafka in a folder of its own, unless it is given one, and has `function-stream bench --backend kafka` measure
each program as a process of its own, from outside. Prints one table: the medians of all rounds, and ratios to Kafka Streams.

usage: benches/kafka.py

  FNSTREAM_BIN=bin/function-stream   the program that measures and is measured
  PROGRAM=FILE                       another build of it, that is measured instead
  FNSTREAM_EXAMPLES=bin              the folder of the example functions
  KAFKA=HOST:PORT                    a broker that is there already
  ROUNDS=3                           how often each program runs; a round before them warms the broker up, and is not counted
  RECORDS=2000000                    how many records each of its runs has
  KEYS=1000000                       how many keys keyed-count has
  RATE=2000                          records per second while latencies are measured; 0 leaves that out
  SECONDS=20                         how long they are measured, after a warm-up of 10 s
  WORKLOADS="money keyed-count"
  PROGRAMS="wasm kafka-streams copy" the function as WebAssembly, the job of Kafka Streams, the plain copy
  OUT=FILE                           where the figures of all runs go, as JSON

Exit codes: 0, 1 if something failed or a program lost, repeated or changed a record, 3 if Java (17 or later) or Maven is missing.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import tables

ROOT = Path(__file__).resolve().parent.parent
PEER = ROOT / "benches" / "peers" / "kafka-streams"
STREAMS = "kafka-streams"
EXAMPLES = {
    "pass-through": "example_pass_through_rust.wasm",
    "money": "example_basic_rust.wasm",
    "keyed-count": "example_keyed_count_rust.wasm",
}

# What is demanded of the function beside Kafka Streams.
GOALS = {
    "money": {"records per steady CPU second": 2.5, "memory": 8, "p99": 10},
    "keyed-count": {"records per steady CPU second": 4, "memory": 8, "p99": 10},
}


def fail(message, code=1):
    print(f"kafka bench: {message}", file=sys.stderr)
    sys.exit(code)


def setting(name, default):
    return os.environ.get(name) or default


def build_peer():
    """Compiles the job of Kafka Streams, and gives its command."""
    for tool, package in (("mvn", "maven"), ("javac", "openjdk-17-jdk-headless")):
        if not shutil.which(tool):
            fail(f"{tool} is missing, which builds the job of Kafka Streams (Debian: {package})", 3)
    built = subprocess.run(["mvn", "-q", "-B", "compile"], cwd=PEER, stdout=sys.stderr)
    if built.returncode:
        fail("the job of Kafka Streams could not be built")
    return f"java -cp {PEER}/target/classes:{PEER}/target/lib/* org.functionstream.bench.Peer"


class Broker:
    """The broker that is given, or one of the bench's own: in memory where that is possible, since disks are not measured."""

    def __enter__(self):
        self.folder = None
        given = os.environ.get("KAFKA")
        if given:
            return given
        memory = Path("/dev/shm")
        self.folder = tempfile.mkdtemp(prefix="fnstream-bench-", dir=memory if os.access(memory, os.W_OK) else None)
        started = self.script("start", "--long", stdout=subprocess.PIPE)
        if started.returncode:
            self.__exit__()
            sys.exit(started.returncode)
        return started.stdout.decode().strip()

    def __exit__(self, *_):
        if self.folder:
            self.script("wipe")
            shutil.rmtree(self.folder, ignore_errors=True)

    def script(self, *command, **options):
        return subprocess.run([ROOT / "scripts" / "kafka.sh", *command, "--at", self.folder], **options)


class Bench:
    def __init__(self, bootstrap):
        self.binary = setting("FNSTREAM_BIN", str(ROOT / "bin" / "function-stream"))
        self.examples = Path(setting("FNSTREAM_EXAMPLES", str(ROOT / "bin")))
        if not os.access(self.binary, os.X_OK):
            fail(f"there is no program '{self.binary}': build it with 'make build', or name it with FNSTREAM_BIN")
        self.bootstrap = bootstrap
        self.records = int(setting("RECORDS", "2000000"))
        self.keys = int(setting("KEYS", "1000000"))
        self.rate = float(setting("RATE", "2000"))
        self.seconds = int(setting("SECONDS", "20"))
        self.rounds = int(setting("ROUNDS", "3"))
        self.workloads = setting("WORKLOADS", "money keyed-count").split()
        self.programs = setting("PROGRAMS", f"wasm {STREAMS} copy").split()
        self.peer = build_peer() if STREAMS in self.programs else None

    def runs(self):
        """The reports of all rounds but the first: Java compiles what the broker does meanwhile, on the processors of the others."""
        for round_ in range(self.rounds + 1):
            for workload in self.workloads:
                for program in self.programs:
                    print(f"round {round_} of {self.rounds}: {workload}, {program}", file=sys.stderr)
                    ways = [[], ["--rate", str(self.rate)]] if self.rate else [[]]
                    reports = [self.run(workload, program, way) for way in ways]
                    yield from reports if round_ else []

    def run(self, workload, program, more):
        command = [self.binary, "bench", "--backend", "kafka", "--bootstrap", self.bootstrap, "--workload", workload, "--json"]
        if program == STREAMS:
            command += ["--peer", f"{STREAMS}={self.peer}"]
        else:
            command += ["--variant", program]
        if program == "wasm":
            command += ["--archive", str(self.examples / EXAMPLES[workload])]
            command += ["--program", os.environ["PROGRAM"]] if os.environ.get("PROGRAM") else []
        if workload == "keyed-count":
            command += ["--keys", str(self.keys)]
        records = int(self.rate * (10 + self.seconds)) if more else self.records
        ran = subprocess.run(command + more + ["--records", str(records)], stdout=subprocess.PIPE)
        if ran.returncode:
            fail(f"{workload} by {program} failed: {' '.join(map(str, command + more))}")
        return json.loads(ran.stdout)


def main():
    with Broker() as bootstrap:
        bench = Bench(bootstrap)
        load = os.getloadavg()[0]
        reports = []
        for report in bench.runs():
            reports.append(report)
            # After each run: what was measured is not lost with what comes after it.
            if os.environ.get("OUT"):
                Path(os.environ["OUT"]).write_text(json.dumps(reports, indent=1))
    machine = reports[0]["machine"]
    print(
        f"medians of {bench.rounds} rounds; {bench.records:,} records of {reports[0]['record_size']} B, {reports[0]['partitions']} partitions, "
        f"seed {reports[0]['seed']}; latency at {bench.rate:g} records/s for {bench.seconds} s\n"
        f"{machine['cores']} cores, {machine['cpu']}, {machine['os']}; load before {load:.1f}, after {os.getloadavg()[0]:.1f}\n"
    )
    print(tables.table(reports, bench.workloads, bench.programs, STREAMS, GOALS))


if __name__ == "__main__":
    main()
