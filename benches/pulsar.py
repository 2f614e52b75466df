#!/usr/bin/env python3
# Copyright 2024 Function Stream Org.
# SPDX-License-Identifier: Apache-2.0

"""Function Stream, Pulsar Functions, plain copies by Pulsar's own clients, and any other program at the same work on one broker, in turns.

Starts a broker of Apache Pulsar in a folder of its own, fills topics by Pulsar's client for Python, starts each program as a process, and
measures it from outside. Prints one table: the medians of all rounds, and ratios to Pulsar Functions that are effectively once.

usage: benches/pulsar.py

  ROUNDS=3                how often each program runs; a round before them warms the broker up, and is not counted
  RECORDS=500000          how many records each of its runs has
  STATE_RECORDS=10000     how many it has at keyed-count, if it is a Pulsar Function: its state is asked for each record
  KEYS=1000000            how many keys keyed-count has, of which some are frequent (zipf, 1.0)
  RATE=2000               records per second while latencies are measured; 0 leaves that out. Who is slower is left out, too.
  SECONDS=20              how long they are measured, after a warm-up of 10 s
  WORKLOADS="money keyed-count"
  PROGRAMS="function-stream functions functions-at-least-once copy-java copy-python"
  FNSTREAM_BIN, FNSTREAM_EXAMPLES=bin   the program of Function Stream, and the folder of the example functions
  PEER='NAME=COMMAND'     another program, beside those
  OUT=FILE                where the figures of all runs go, as JSON

A program is told by its environment what to do, writes the line `ready` when it reads the input, and runs until it gets SIGTERM:
BENCH_URL, BENCH_ADMIN (the broker's service URL and that of its admin API), BENCH_INPUT, BENCH_OUTPUT (topics, as
TENANT/NAMESPACE/NAME), BENCH_PARTITIONS, BENCH_GROUP (the subscription to use, from the oldest record on), BENCH_WORKLOAD,
BENCH_FOLDER (an empty folder for its files), BENCH_STATE (where Pulsar Functions keep their state).

Exit codes: 0, 1 if something failed or a program lost, repeated or changed a record, 3 if Java (17 or later), Maven or Python's venv is
missing.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import tables

ROOT = Path(__file__).resolve().parent.parent
PEERS = ROOT / "benches" / "peers" / "pulsar-functions"
TOOLS = ROOT / "tests" / "pulsar"
OURS = "function-stream"
YARDSTICK = "functions"
# What is demanded of Function Stream beside Pulsar Functions that are effectively once.
GOALS = {
    "money": {"records per steady CPU second": 10, "records per second": 4, "memory": 4},
    "keyed-count": {"records per second": 20, "memory": 4},
}
PARTITIONS = 2
SEED = 1
RECORD_SIZE = 100
WARM_UP = 10
# How often it is looked how far a program is, and how long none may stand still.
STEP, PATIENCE = 0.05, 120
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Program:
    """A program that is measured."""

    name: str
    command: list
    workloads: tuple = ("money", "keyed-count")
    copies: bool = False
    # Whether its input has records that share entries of the broker's log. See the README: a Pulsar Function that is effectively once
    # takes all records of an entry but the first for repeats.
    batched: bool = True
    slow_state: bool = False

    def check(self, workload):
        return "copy" if self.copies else workload


def fail(message, code=1):
    print(f"pulsar bench: {message}", file=sys.stderr)
    sys.exit(code)


def setting(name, default):
    return os.environ.get(name) or default


class Broker:
    """A broker of the bench's own: in memory where that is possible, since disks are not measured."""

    def __enter__(self):
        memory = Path("/dev/shm")
        self.folder = tempfile.mkdtemp(prefix="fnstream-bench-", dir=memory if os.access(memory, os.W_OK) else None)
        try:
            started = self.script("start", "--long", "--state")
            if started.returncode:
                sys.exit(started.returncode)
        except BaseException:
            self.__exit__()
            raise
        told = self.script("env").stdout.decode().splitlines()
        self.told = dict(line.removeprefix("FNSTREAM_PULSAR").removeprefix("_").split("=", 1) for line in told)
        self.url, self.admin, self.jars = self.told[""], self.told["ADMIN"], self.told["LIB"]
        self.pid = int(Path(self.folder, "pid").read_text())
        return self

    def __exit__(self, *_):
        self.script("wipe")
        shutil.rmtree(self.folder, ignore_errors=True)

    def script(self, *command):
        return subprocess.run([ROOT / "scripts" / "pulsar.sh", *command, "--at", self.folder], stdout=subprocess.PIPE)

    def appended(self, topic):
        """How many records were appended to a topic since it was made."""
        with urllib.request.urlopen(f"{self.admin}/admin/v2/persistent/{topic}/partitioned-stats", timeout=PATIENCE) as answer:
            return json.load(answer)["msgInCounter"]


class Tools:
    """The scripts that have Pulsar's client for Python, in the environment that has it."""

    def __init__(self):
        made = subprocess.run([ROOT / "scripts" / "python-env.sh", "tests/pulsar/requirements.txt"], stdout=subprocess.PIPE)
        if made.returncode:
            sys.exit(made.returncode)
        self.python = made.stdout.decode().strip()

    def run(self, script, *arguments):
        """What a script says."""
        ran = subprocess.run([self.python, TOOLS / script, *map(str, arguments)], stdout=subprocess.PIPE)
        if ran.returncode:
            fail(f"{script} {' '.join(map(str, arguments))} failed")
        return json.loads(ran.stdout) if ran.stdout else None


def build_peers(jars):
    """Compiles the programs in Java, and gives the command that runs one of them."""
    if not shutil.which("javac"):
        fail("javac is missing, which builds the function and the copy (Debian: openjdk-17-jdk-headless)", 3)
    classes, sources = PEERS / "target" / "classes", PEERS.glob("src/main/java/**/*.java")
    built = subprocess.run(["javac", "--release", "17", "-proc:none", "-nowarn", "-cp", f"{jars}/*", "-d", classes, *sources])
    if built.returncode:
        fail("the function and the copy could not be built")
    return ["java", f"-Dlog4j.configurationFile={PEERS / 'log4j2.properties'}", "-cp", f"{classes}:{jars}/*"]


def programs(java, python):
    function = [*java, "org.functionstream.bench.Peer"]
    known = [
        Program(OURS, [ROOT / "benches" / "peers" / "function-stream.py"]),
        Program(YARDSTICK, [*function, "EFFECTIVELY_ONCE"], batched=False, slow_state=True),
        Program("functions-at-least-once", [*function, "ATLEAST_ONCE"], slow_state=True),
        Program("copy-java", [*java, "org.functionstream.bench.Copy"], workloads=("money",), copies=True),
        Program("copy-python", [python, TOOLS / "traffic.py", "copy"], workloads=("money",), copies=True),
    ]
    wanted = setting("PROGRAMS", " ".join(program.name for program in known)).split()
    unknown = set(wanted) - {program.name for program in known}
    if unknown:
        fail(f"unknown program {', '.join(sorted(unknown))}")
    chosen = [program for program in known if program.name in wanted]
    name, _, command = os.environ.get("PEER", "").partition("=")
    return chosen + ([Program(name, command.split())] if command else [])


def cpu_of(pid):
    """The processor time of a process, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


class Running:
    """A program as a process, which ends with this."""

    def __init__(self, program, told):
        self.folder = tempfile.mkdtemp(prefix="fnstream-bench-")
        environment = os.environ | {f"BENCH_{name}": str(value) for name, value in told.items()} | {"BENCH_FOLDER": self.folder}
        self.log = tempfile.TemporaryFile()
        self.began, self.name = time.monotonic(), program.name
        self.process = subprocess.Popen(
            program.command, env=environment, cwd=self.folder, stdout=subprocess.PIPE, stderr=self.log, start_new_session=True
        )
        self.ready = threading.Event()
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        for line in self.process.stdout:
            if line.strip() == b"ready":
                self.ready.set()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def lives(self, moved):
        """Fails if the program has ended, or has stood still for long."""
        if self.process.poll() is None and time.monotonic() < moved + PATIENCE:
            return
        self.log.seek(0)
        print(self.log.read().decode(errors="replace")[-3_000:], file=sys.stderr)
        fail(f"{self.name} {'stood still' if self.process.poll() is None else 'has ended'}")

    def until_ready(self):
        while not self.ready.wait(1):
            self.lives(self.began)

    def peak_memory(self):
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) << 10


class Bench:
    def __init__(self, broker):
        self.broker, self.tools = broker, Tools()
        self.records = int(setting("RECORDS", "500000"))
        self.state_records = int(setting("STATE_RECORDS", "10000"))
        self.keys = int(setting("KEYS", "1000000"))
        self.rate = float(setting("RATE", "2000"))
        self.seconds = int(setting("SECONDS", "20"))
        self.rounds = int(setting("ROUNDS", "3"))
        self.workloads = setting("WORKLOADS", "money keyed-count").split()
        self.programs = programs(build_peers(broker.jars), self.tools.python)
        self.filled, self.topics = {}, 0

    def runs(self):
        """The reports of all rounds but the first: Java compiles what the broker does meanwhile, on the processors of the others."""
        for round_ in range(self.rounds + 1):
            for workload in self.workloads:
                for program in self.programs:
                    if workload not in program.workloads:
                        continue
                    print(f"round {round_} of {self.rounds}: {workload}, {program.name}", file=sys.stderr)
                    report = self.throughput(workload, program)
                    reports = [report]
                    if self.rate and report.get("steady", report)["records_per_second"] > self.rate:
                        reports.append(self.latency(workload, program))
                    yield from reports if round_ else []

    def topic(self, what):
        self.topics += 1
        topic = f"public/bench/{what}-{self.topics}"
        self.tools.run("check.py", "create", self.broker.admin, PARTITIONS, topic)
        return topic

    def shape(self, workload, batched):
        """What the records are like, as the tools are told."""
        keys = ["--keys", self.keys, "--zipf", 1.0] if workload == "keyed-count" else []
        return [*keys, "--seed", SEED, "--size", RECORD_SIZE, *([] if batched else ["--unbatched"])]

    def input(self, workload, program):
        """A topic with the records, which programs share that want the same."""
        records = self.state_records if program.slow_state and workload == "keyed-count" else self.records
        wanted = (workload, program.batched, records)
        if wanted not in self.filled:
            topic = self.topic(f"{workload}-input")
            shape = self.shape(workload, program.batched)
            self.tools.run("check.py", "fill", self.broker.url, workload, topic, records, "--bare", *shape)
            self.filled[wanted] = topic
        return self.filled[wanted], records

    def start(self, workload, program, source, target):
        told = {"URL": self.broker.url, "ADMIN": self.broker.admin, "STATE": self.broker.told["STATE"], "PARTITIONS": PARTITIONS}
        told |= {"INPUT": source, "OUTPUT": target, "GROUP": target.rpartition("/")[2], "WORKLOAD": workload}
        return Running(program, told)

    def throughput(self, workload, program):
        source, records = self.input(workload, program)
        target = self.topic("output")
        broker_cpu = cpu_of(self.broker.pid)
        with self.start(workload, program, source, target) as running:
            pid, done, first, half, moved = running.process.pid, 0, None, None, time.monotonic()
            while done < records:
                time.sleep(STEP)
                running.lives(moved)
                now, before = time.monotonic(), done
                done = self.broker.appended(target)
                moved = now if done > before else moved
                first = now if done and first is None else first
                half = (now, done, cpu_of(pid)) if done >= records / 2 and half is None else half
            took, cpu, memory = moved - running.began, cpu_of(pid), running.peak_memory()
        report = {
            "workload": workload,
            "variant": program.name,
            "mode": "throughput",
            "records": records,
            "records_per_second": records / took,
            "cpu_seconds_per_million": cpu / records * 1e6,
            "broker_cpu_seconds_per_million": (cpu_of(self.broker.pid) - broker_cpu) / records * 1e6,
            "peak_memory": memory,
            "first_output_seconds": first - running.began,
        }
        # Where the whole second half came at once, there is nothing to be told of it.
        if half[1] < records and moved > half[0]:
            rest = records - half[1]
            report["steady"] = {
                "records_per_second": rest / (moved - half[0]),
                "cpu_seconds_per_million": (cpu - half[2]) / rest * 1e6,
            }
        verdict = self.tools.run("check.py", program.check(workload), self.broker.url, source, target)
        if any(verdict[what] for what in ("lost", "duplicated", "wrong", "out_of_order")):
            fail(f"{workload} by {program.name}: {verdict}")
        return report

    def latency(self, workload, program):
        source, target = self.topic(f"{workload}-input"), self.topic("output")
        with self.start(workload, program, source, target) as running:
            running.until_ready()
            pace = ["--rate", self.rate, "--seconds", self.seconds, "--warm-up", WARM_UP]
            shape = self.shape(workload, program.batched)
            found = self.tools.run("traffic.py", "latency", self.broker.url, program.check(workload), source, target, *pace, *shape)
        return {"workload": workload, "variant": program.name, "mode": "latency", "latency": found}


COLUMNS = [*tables.COLUMNS, ("broker CPU s/M", "broker", 1, 2, -1)]


def main():
    # So that the broker ends, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with Broker() as broker:
        bench = Bench(broker)
        load = os.getloadavg()[0]
        reports = []
        for report in bench.runs():
            reports.append(report)
            # After each run: what was measured is not lost with what comes after it.
            if os.environ.get("OUT"):
                Path(os.environ["OUT"]).write_text(json.dumps(reports, indent=1))
    cpu = Path("/proc/cpuinfo").read_text().partition("model name\t: ")[2].partition("\n")[0]
    print(
        f"medians of {bench.rounds} rounds; {bench.records:,} records of {RECORD_SIZE} B ({bench.state_records:,} where a function of Pulsar "
        f"counts), {PARTITIONS} partitions, seed {SEED}; latency at {bench.rate:g} records/s for {bench.seconds} s\n"
        f"{os.cpu_count()} cores, {cpu}; load before {load:.1f}, after {os.getloadavg()[0]:.1f}\n"
    )
    print(tables.table(reports, bench.workloads, [p.name for p in bench.programs], YARDSTICK, GOALS, COLUMNS))


if __name__ == "__main__":
    main()
