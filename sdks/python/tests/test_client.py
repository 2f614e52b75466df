# Copyright 2024 Function Stream Org.
# SPDX-License-Identifier: Apache-2.0

"""The client, against a server that answers what it is told."""

import sys
from concurrent import futures

import pytest

grpc = pytest.importorskip("grpc")

import fs_client
from fs_client._wire import _CALLS, MESSAGES


class Server(grpc.GenericRpcHandler):
    def __init__(self, answers):
        self.answers, self.asked = answers, []

    def service(self, details):
        name = details.method.rpartition("/")[2]
        request, _ = _CALLS[name]

        def answer(asked, context):
            self.asked.append(asked)
            return self.answers[name]

        return grpc.unary_unary_rpc_method_handler(
            answer, MESSAGES[request].FromString, lambda message: message.SerializeToString()
        )


@pytest.fixture
def served():
    server = grpc.server(futures.ThreadPoolExecutor(1))
    handler = Server({})
    server.add_generic_rpc_handlers((handler,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with fs_client.FsClient("127.0.0.1", port, default_timeout=10) as client:
        yield client, handler
    server.stop(None)


def test_a_class_is_sent_with_the_local_modules_that_it_imports(served, tmp_path, monkeypatch):
    client, server = served
    (tmp_path / "words").mkdir()
    (tmp_path / "words" / "__init__.py").write_text("")
    (tmp_path / "words" / "split.py").write_text("from . import chars\n")
    (tmp_path / "words" / "chars.py").write_text("import json\n")
    (tmp_path / "other.py").write_text("")
    source = "from fs_api import FSProcessorDriver\nfrom words import split\nclass Count(FSProcessorDriver): pass\n"
    (tmp_path / "count_words.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    from count_words import Count

    config = (
        fs_client.WasmTaskBuilder()
        .set_name("count")
        .add_init_config("step", "1")
        .add_input_group([fs_client.KafkaInput("localhost:9092", "in", "g", 0)])
        .add_output(fs_client.KafkaOutput("localhost:9092", "out", 0))
        .build()
    )
    server.answers["CreatePythonFunction"] = MESSAGES["Response"](status_code=201, message="made")
    assert client.create_python_function_from_config(config, Count)
    (asked,) = server.asked
    assert asked.class_name == "Count"
    assert [module.module_name for module in asked.modules] == ["count_words", "words", "words.split", "words.chars"]
    assert asked.modules[0].module_bytes == source.encode()
    assert fs_client.WasmTaskConfig.from_yaml(asked.config_content).to_dict() == config.to_dict()
    for name in ("count_words", "words", "words.split", "words.chars"):
        sys.modules.pop(name, None)


def test_refusals_are_exceptions_by_their_status(served):
    client, server = served
    refused = MESSAGES["Response"](status_code=409, message="function 'a' exists", error_code="FS-1101")
    server.answers["CreateFunction"] = refused
    with pytest.raises(fs_client.ConflictError, match="function 'a' exists") as raised:
        client.create_function_from_bytes(b"x", "name: a")
    assert (raised.value.status_code, raised.value.error_code) == (409, "FS-1101")
    server.answers["DropFunction"] = MESSAGES["Response"](status_code=404, message="no")
    with pytest.raises(fs_client.NotFoundError):
        client.drop_function("a")


def test_functions_are_shown(served):
    client, server = served
    info = MESSAGES["FunctionInfo"](name="a", task_type="python", status="Running")
    server.answers["ShowFunctions"] = MESSAGES["ShowFunctionsResponse"](status_code=200, message="1 function", functions=[info])
    shown = client.show_functions("a%")
    assert shown.functions == [fs_client.FunctionInfo("a", "python", "Running")]
    assert server.asked[0].filter == "a%"


def test_a_server_that_is_away_is_a_network_error():
    with fs_client.FsClient("127.0.0.1", 1, default_timeout=5) as client, pytest.raises(fs_client.NetworkError):
        client.show_functions()
