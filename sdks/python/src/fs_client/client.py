# Copyright 2024 Function Stream Org.
# SPDX-License-Identifier: Apache-2.0

"""The client of a server's gRPC interface."""

import inspect
from pathlib import Path

import grpc

from ._wire import MESSAGES, Stub
from .exceptions import ClientError, of_answer, of_call
from .models import FunctionInfo, ShowFunctionsResult
from .sources import modules_of

_MOST_BYTES = 64 << 20


class FsClient:
    """Makes, shows, starts, stops and drops functions. It is a context manager, which closes it at the end.

    Each call takes at most ``default_timeout`` seconds, and raises an exception of :mod:`fs_client.exceptions` if it fails.
    """

    def __init__(self, host="localhost", port=8080, secure=False, channel=None, options=None, default_timeout=30.0):
        self.target = f"{host}:{port}"
        self.default_timeout = default_timeout
        self._own = channel is None
        if channel is None:
            most = [("grpc.max_send_message_length", _MOST_BYTES), ("grpc.max_receive_message_length", _MOST_BYTES)]
            options = most + list(options or [])
            if secure:
                channel = grpc.secure_channel(self.target, grpc.ssl_channel_credentials(), options=options)
            else:
                channel = grpc.insecure_channel(self.target, options=options)
        self._channel = channel
        self._stub = Stub(channel)

    def create_function_from_files(self, function_path, config_path, timeout=None):
        """Makes a function of an artifact and a config.yaml, both files of this machine."""
        for path in (function_path, config_path):
            if not Path(path).exists():
                raise FileNotFoundError(f"there is no file '{path}'")
        try:
            function, config = Path(function_path).read_bytes(), Path(config_path).read_bytes()
        except OSError as error:
            raise ClientError(f"a file cannot be read: {error}", error) from error
        return self.create_function_from_bytes(function, config, timeout)

    def create_function_from_bytes(self, function_bytes, config_content, timeout=None):
        """Makes a function of an artifact and the text of a config.yaml."""
        if isinstance(config_content, str):
            config_content = config_content.encode()
        if not isinstance(config_content, bytes):
            raise TypeError(f"config_content must be str or bytes, not {type(config_content).__name__}")
        request = MESSAGES["CreateFunctionRequest"](function_bytes=function_bytes, config_bytes=config_content)
        return self._do(self._stub.CreateFunction, request, timeout)

    def create_python_function(self, class_name, modules, config_content, timeout=None):
        """Makes a function of a class, of (name, bytes) of the modules that it needs, and the text of a config.yaml."""
        if not modules:
            raise ValueError("at least one module is needed")
        module = MESSAGES["PythonModule"]
        request = MESSAGES["CreatePythonFunctionRequest"](
            class_name=class_name,
            modules=[module(module_name=name, module_bytes=data) for name, data in modules],
            config_content=config_content,
        )
        return self._do(self._stub.CreatePythonFunction, request, timeout)

    def create_python_function_from_config(self, config, driver_class, timeout=None):
        """Makes a function of a class of this program: its module and the local ones that it imports are sent."""
        if not inspect.isclass(driver_class):
            raise ValueError("driver_class must be a class, not an instance")
        from functionstream import Function

        if not issubclass(driver_class, Function):
            raise TypeError(f"'{driver_class.__name__}' derives neither from FSProcessorDriver nor from Function")
        try:
            modules = modules_of(driver_class)
        except (OSError, SyntaxError) as error:
            raise ClientError(f"the source of '{driver_class.__name__}' cannot be read: {error}", error) from error
        return self.create_python_function(driver_class.__name__, modules, config.to_yaml(), timeout)

    def drop_function(self, function_name, timeout=None):
        """Deletes a function with its state."""
        request = MESSAGES["DropFunctionRequest"](function_name=function_name)
        return self._do(self._stub.DropFunction, request, timeout)

    def start_function(self, function_name, timeout=None):
        """Lets a stopped function run."""
        request = MESSAGES["StartFunctionRequest"](function_name=function_name)
        return self._do(self._stub.StartFunction, request, timeout)

    def stop_function(self, function_name, timeout=None):
        """Stops a function."""
        request = MESSAGES["StopFunctionRequest"](function_name=function_name)
        return self._do(self._stub.StopFunction, request, timeout)

    def show_functions(self, filter_pattern=None, timeout=None):
        """Returns the functions, or those whose names are like the pattern."""
        request = MESSAGES["ShowFunctionsRequest"]()
        if filter_pattern is not None:
            request.filter = filter_pattern
        answer = self._ask(self._stub.ShowFunctions, request, timeout)
        functions = [FunctionInfo(one.name, one.task_type, one.status) for one in answer.functions]
        return ShowFunctionsResult(answer.status_code, answer.message, functions)

    def close(self):
        """Closes the connection, if it is the client's own."""
        if self._own:
            self._channel.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _do(self, call, request, timeout):
        self._ask(call, request, timeout)
        return True

    def _ask(self, call, request, timeout):
        try:
            answer = call(request, timeout=self.default_timeout if timeout is None else timeout)
        except grpc.RpcError as error:
            raise of_call(error) from error
        if answer.status_code >= 400:
            raise of_answer(answer)
        return answer
