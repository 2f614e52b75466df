# Copyright 2024 Function Stream Org.
# SPDX-License-Identifier: Apache-2.0

"""A client of the gRPC interface that shares no code with the server.

It knows proto/function_stream.proto and nothing else: the code is generated from it into a folder that goes away. It
drives a function through its life, by calls and by SQL, reads the rows as Arrow, and ends with 0 when all was as it
must be.

usage: client.py PROTO_FOLDER GRPC_ADDRESS REST_URL ARTIFACT [gzip]

The artifact is a word count: it takes a line and emits the counts, which it keeps in its state.
"""

import importlib
import json
import sys
import tempfile
import urllib.request

import grpc
import pyarrow as pa
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from grpc_tools import protoc

MAX_MESSAGE = 64 * 1024 * 1024
SERVICE = "function_stream.FunctionStreamService"
COMPRESSION = {"none": grpc.Compression.NoCompression, "gzip": grpc.Compression.Gzip}


def generated(proto_folder):
    """The generated modules: messages and stubs."""
    with tempfile.TemporaryDirectory() as out:
        made = protoc.main(
            ["protoc", f"-I{proto_folder}", f"--python_out={out}", f"--grpc_python_out={out}", "function_stream.proto"]
        )
        assert made == 0, "protoc refused the proto file"
        sys.path.insert(0, out)
        try:
            return importlib.import_module("function_stream_pb2"), importlib.import_module("function_stream_pb2_grpc")
        finally:
            sys.path.remove(out)


def config(name, source, sink):
    return f"""
name: {name}
type: processor
input-groups:
  - inputs: [{{input-type: log, topic: {source}}}]
outputs:
  - {{output-type: log, topic: {sink}}}
""".encode()


def rows(response):
    """The rows of an answer, as a list of dicts, and their schema."""
    assert response.HasField("data"), response
    with pa.ipc.open_stream(response.data) as stream:
        table = stream.read_all()
    return table.to_pylist(), table.schema


class Session:
    def __init__(self, messages, stubs, address, rest, compression):
        options = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", MAX_MESSAGE)]
        self.channel = grpc.insecure_channel(address, options=options, compression=compression)
        self.messages = messages
        self.stub = stubs.FunctionStreamServiceStub(self.channel)
        self.rest = rest

    def create(self, description, artifact, timeout=120):
        request = self.messages.CreateFunctionRequest(config_bytes=description, function_bytes=artifact)
        return self.stub.CreateFunction(request, timeout=timeout)

    def sql(self, text):
        return self.stub.ExecuteSql(self.messages.SqlRequest(sql=text), timeout=60)

    def statuses(self, pattern=None):
        shown = self.stub.ShowFunctions(self.messages.ShowFunctionsRequest(filter=pattern), timeout=60)
        assert shown.status_code == self.messages.OK, shown
        return {function.name: function.status.lower() for function in shown.functions}

    def count(self, line):
        """Produces a line and answers the counts that come of it."""
        put = urllib.request.Request(f"{self.rest}/api/v1/produce/words", data=line.encode(), method="PUT")
        urllib.request.urlopen(put, timeout=60).close()
        with urllib.request.urlopen(f"{self.rest}/api/v1/consume/counts", timeout=60) as came:
            return json.loads(json.loads(came.read()))["counter_map"]


def lifecycle(session, artifact):
    messages, stub = session.messages, session.stub
    made = session.create(config("word-count", "words", "counts"), artifact)
    assert made.status_code == messages.CREATED, made
    again = session.create(config("word-count", "words", "counts"), artifact)
    assert (again.status_code, again.error_code) == (messages.CONFLICT, "FS-1101"), again
    assert session.count("a") == {"a": 1}
    assert session.count("b") == {"a": 1, "b": 1}
    assert session.statuses() == {"word-count": "running"}

    stopped = stub.StopFunction(messages.StopFunctionRequest(function_name="word-count"), timeout=60)
    assert stopped.status_code == messages.OK, stopped
    assert session.statuses("word%") == {"word-count": "stopped"}
    assert session.statuses("other%") == {}
    started = stub.StartFunction(messages.StartFunctionRequest(function_name="word-count"), timeout=60)
    assert started.status_code == messages.OK, started
    assert session.count("a") == {"a": 2}, "the program's own map is gone with its instance, the store's count is not"


def sql(session):
    messages = session.messages
    shown, schema = rows(session.sql("SHOW FUNCTIONS"))
    assert shown == [{"name": "word-count", "task_type": "processor", "status": "Running"}], shown
    assert schema == pa.schema([pa.field(name, pa.utf8(), nullable=False) for name in ("name", "task_type", "status")])

    topics, _ = rows(session.sql("show topics like 'words'"))
    assert (topics[0]["name"], topics[0]["partitions"], topics[0]["records"]) == ("words", 1, 3), topics
    assert topics[0]["created"].tzinfo is not None

    described, _ = rows(session.sql("describe function word-count"))
    properties = {row["property"]: row["value"] for row in described}
    assert (properties["inputs"], properties["outputs"]) == ("words", "counts"), properties

    # Committed, whether it runs or not.
    for text in ("show state of word-count", "stop function word-count; show state of word-count"):
        state, schema = rows(session.sql(text))
        counts = {row["key"]: row["value"] for row in state}
        assert counts == {"a": b"2", "b": b"1"}, state
        assert all(row["task"] == 0 and row["user_key"] == row["key"].encode() for row in state), state
        assert schema.field("value").type == pa.binary()
    one, _ = rows(session.sql("show state of word-count like 'b'"))
    assert [row["key"] for row in one] == ["b"], one
    first, _ = rows(session.sql("show state of word-count limit 1"))
    assert [row["key"] for row in first] == ["a"], first
    letters, _ = rows(session.sql("show dead letters of word-count"))
    assert letters == []

    wrong = session.sql("start functon word-count")
    assert (wrong.status_code, wrong.error_code) == (messages.BAD_REQUEST, "FS-1007"), wrong
    assert "^^^" in wrong.message, wrong.message
    restarted = session.sql("start function word-count; restart function word-count")
    assert restarted.status_code == messages.OK, restarted
    assert len(restarted.results) == 2
    dropped = session.sql("drop function word-count")
    assert dropped.status_code == messages.OK, dropped
    assert session.statuses() == {}
    absent = session.sql("drop function word-count")
    assert (absent.status_code, absent.error_code) == (messages.NOT_FOUND, "FS-1102"), absent


def refusals(session):
    messages, stub = session.messages, session.stub
    garbage = session.create(config("f", "i", "o"), b"garbage")
    assert (garbage.status_code, garbage.error_code) == (messages.BAD_REQUEST, "FS-1202"), garbage
    python = stub.CreatePythonFunction(messages.CreatePythonFunctionRequest(class_name="C"), timeout=60)
    assert (python.status_code, python.error_code) == (messages.BAD_REQUEST, "FS-1206"), python
    for call, code in (
        (lambda: session.create(config("f", "i", "o"), bytes(65 << 20)), grpc.StatusCode.RESOURCE_EXHAUSTED),
        # So large a message does not come through in so short a time.
        (lambda: session.create(config("f", "i", "o"), bytes(60 << 20), timeout=0.005), grpc.StatusCode.DEADLINE_EXCEEDED),
    ):
        try:
            answer = call()
        except grpc.RpcError as error:
            assert error.code() == code, error
        else:
            raise AssertionError(f"it was answered: {answer.message}")
    assert session.statuses() == {}, "nothing of what was refused is left"


def beside(session):
    """Health and reflection."""
    health = health_pb2_grpc.HealthStub(session.channel)
    answer = health.Check(health_pb2.HealthCheckRequest(service=SERVICE), timeout=60)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING, answer
    described = ProtoReflectionDescriptorDatabase(session.channel)
    assert SERVICE in described.get_services()
    file = described.FindFileContainingSymbol(SERVICE)
    calls = [method.name for service in file.service for method in service.method]
    assert "ExecuteSql" in calls and "CreatePythonFunction" in calls, calls


def main(proto_folder, address, rest, artifact_path, compression="none"):
    messages, stubs = generated(proto_folder)
    session = Session(messages, stubs, address, rest, COMPRESSION[compression])
    with open(artifact_path, "rb") as file:
        artifact = file.read()
    beside(session)
    lifecycle(session, artifact)
    sql(session)
    refusals(session)
    print("ok")


if __name__ == "__main__":
    main(*sys.argv[1:])
