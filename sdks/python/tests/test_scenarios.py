# Copyright 2024 Function Stream Org.
# SPDX-License-Identifier: Apache-2.0

"""The scenarios that all SDKs must pass, in the test kit."""

import importlib.util
from pathlib import Path

import pytest
from functionstream import Record
from functionstream.testing import Harness, RecordFailed

yaml = pytest.importorskip("yaml")

SDK = Path(__file__).parents[3] / "tests" / "sdk"
FILES = sorted((SDK / "scenarios").glob("*.yaml"))


def program():
    spec = importlib.util.spec_from_file_location("app", SDK / "python" / "app.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Conformance


def test_there_are_scenarios():
    assert len(FILES) > 10


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_scenario(file):
    scenario = yaml.safe_load(file.read_text())
    if "packed" not in scenario.get("worlds", ["packed"]):
        pytest.skip("the test kit is of the packed world")
    config = {name: str(value) for name, value in scenario.get("config", {}).items()}
    outputs = [f"o{i}" for i in range(scenario.get("outputs", 1))]
    if "init-fails" in scenario:
        with pytest.raises(RecordFailed) as failed:
            Harness(program(), config, outputs=outputs)
        assert scenario["init-fails"] in failed.value.message
        return
    harness = Harness(program(), config, outputs=outputs)
    marks = []
    for step in scenario["steps"]:
        carry_out(harness, step, marks)


def carry_out(harness, step, marks):
    match step:
        case {"send": values}:
            send(harness, values, step.get("source", 0), dict(step.get("fails", {})))
        case {"watermark": watermark}:
            fire(lambda: harness.watermark(watermark), step.get("fails"))
        case {"time": now}:
            fire(lambda: harness.time(now), step.get("fails"))
        case {"checkpoint": True}:
            harness.checkpoint()
        case {"restart": True}:
            harness.restart()
        case {"heartbeat": well}:
            assert harness.heartbeat() == well
        case {"custom": request, "answers": answer}:
            assert harness.custom(request.encode()) == answer.encode()
        case {"custom": request, "fails": reason}:
            with pytest.raises(RecordFailed) as failed:
                harness.custom(request.encode())
            assert reason in failed.value.message
        case {"exec": name}:
            harness.exec(name, [(key, str(value).encode()) for key, value in sorted(step.get("modules", {}).items())])
        case {"stop": True}:
            harness.checkpoint()
            harness.close()
        case {"emitted": expected}:
            emitted = [one for one in harness.emitted() if one.output == 0]
            assert len(emitted) == len(expected), emitted
            for one, wanted in zip(emitted, expected):
                assert like(wanted, one) == (whole(wanted) if isinstance(wanted, dict) else wanted)
        case {"watermarks": expected}:
            # All since the beginning.
            marks += [watermark for output, watermark in harness.watermarks() if output == 0]
            assert marks == expected
        case _:
            raise AssertionError(f"the step says nothing: {step}")


def whole(sample):
    """A record of a scenario, of which anything may be missing."""
    assert sample.keys() <= {"value", "key", "headers", "time"}
    return {"value": None, "key": None, "headers": {}, "time": 0} | sample


def record(sample):
    """What is sent for a record of a scenario: a value alone, or a whole one."""
    if not isinstance(sample, dict):
        return sample
    told = whole(sample)
    value, key = (text if text is None else text.encode() for text in (told["value"], told["key"]))
    return Record(value, key, told["time"], headers=[(name, text.encode()) for name, text in told["headers"].items()])


def like(wanted, emitted):
    """What was emitted, in the form of what it is compared with."""
    value, key = (data if data is None else data.decode() for data in (emitted.value, emitted.key))
    if not isinstance(wanted, dict):
        return value
    headers = {name: data.decode() for name, data in emitted.headers}
    return {"value": value, "key": key, "headers": headers, "time": emitted.timestamp}


def send(harness, values, source, fails):
    """Sends a batch, as a server does it with records that fail: they are left out, and the rest follows."""
    at, values = 0, [record(value) for value in values]
    while True:
        try:
            harness.send(*values[at:], source=source)
            break
        except RecordFailed as failed:
            assert failed.record is not None, failed.message
            at += failed.record
            assert at in fails, failed.message
            assert fails.pop(at) in failed.message
            at += 1
    assert fails == {}


def fire(move, fails):
    if not fails:
        move()
        return
    (key, reason), = fails.items()
    with pytest.raises(RecordFailed) as failed:
        move()
    assert f"'{key}'" in failed.value.message and reason in failed.value.message
