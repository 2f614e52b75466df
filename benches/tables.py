# Copyright 2024 Function Stream Org.
# SPDX-License-Identifier: Apache-2.0

"""The tables of the benches that have several programs do the same work in turns: medians, and ratios to one of the programs.

A report is a dictionary: what `function-stream bench --json` prints, or what says the same of a run.
"""

import statistics


def figures(reports, workload, program):
    """The medians of what a program gave at a workload."""
    of = [r for r in reports if (r["workload"], r["variant"]) == (workload, program)]
    filled = [r for r in of if r["mode"] == "throughput"]
    timed = [r["latency"] for r in of if r["mode"] == "latency"]
    steady = [r["steady"] for r in filled if r.get("steady")]
    median = lambda values: statistics.median(values) if values else None
    return {
        "rate": median([r["records_per_second"] for r in filled]),
        "steady rate": median([s["records_per_second"] for s in steady]),
        "cpu": median([s["cpu_seconds_per_million"] for s in steady]),
        "whole cpu": median([r["cpu_seconds_per_million"] for r in filled]),
        "memory": median([r["peak_memory"] for r in filled]),
        "start": median([r["first_output_seconds"] for r in filled if r.get("first_output_seconds")]),
        "p50": median([t["p50_micros"] for t in timed]),
        "p99": median([t["p99_micros"] for t in timed]),
        "broker": median([r["broker_cpu_seconds_per_million"] for r in filled if r.get("broker_cpu_seconds_per_million")]),
    }


COLUMNS = [
    # heading, key, divisor, digits; how the ratio to the yardstick is taken: 1 as it is, -1 upside down
    ("records/s", "rate", 1, 0, 1),
    ("steady/s", "steady rate", 1, 0, 1),
    ("CPU s/M", "whole cpu", 1, 2, -1),
    ("steady CPU s/M", "cpu", 1, 2, -1),
    ("peak MiB", "memory", 1 << 20, 0, -1),
    ("first output s", "start", 1, 2, -1),
    ("p50 ms", "p50", 1e3, 1, -1),
    ("p99 ms", "p99", 1e3, 1, -1),
]


def table(reports, workloads, programs, yardstick, demanded, columns=COLUMNS):
    """A table for each workload, with how many times better each program is than the yardstick, and whether ours is as demanded."""
    lines = []
    for workload in workloads:
        ran = {report["variant"] for report in reports if report["workload"] == workload}
        of = {program: figures(reports, workload, program) for program in programs if program in ran}
        theirs = of.get(yardstick)
        rows = [[workload] + [heading for heading, *_ in columns]]
        for program, have in of.items():
            rows.append([program] + [number(have[key], divisor, digits) for _, key, divisor, digits, _ in columns])
            if theirs and program != yardstick:
                times = [ratio(have[key], theirs[key], way) for _, key, _, _, way in columns]
                rows.append([f"  times better than {yardstick}"] + [f"{t:.1f}" if t else "-" for t in times])
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        for row in rows:
            lines.append(row[0].ljust(widths[0]) + "".join("  " + c.rjust(w) for c, w in zip(row[1:], widths[1:])))
        lines += goals(of.get("wasm") or of.get("function-stream"), theirs, demanded.get(workload, {})) + [""]
    return "\n".join(lines)


def goals(ours, theirs, demanded):
    if not ours or not theirs:
        return []
    found = {
        "records per second": ratio(ours["rate"], theirs["rate"], 1),
        "records per steady CPU second": ratio(ours["cpu"], theirs["cpu"], -1),
        "memory": ratio(ours["memory"], theirs["memory"], -1),
        "p99": ratio(ours["p99"], theirs["p99"], -1),
    }
    lines = []
    for what, times in demanded.items():
        if found[what]:
            verdict = "holds" if found[what] >= times else "MISSED"
            lines.append(f"{what}: {times:g} times better demanded, {found[what]:.1f} times measured: {verdict}")
    return lines


def number(value, divisor, digits):
    return "-" if value is None else f"{value / divisor:,.{digits}f}"


def ratio(ours, theirs, way):
    if not ours or not theirs:
        return None
    return ours / theirs if way > 0 else theirs / ours
