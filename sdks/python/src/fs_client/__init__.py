# Copyright 2024 Function Stream Org.
# SPDX-License-Identifier: Apache-2.0

"""A client of Function Stream, with the names of the second generation. It needs the packages grpcio and protobuf."""

from .client import FsClient
from .config import ConfigBuilder, KafkaInput, KafkaOutput, LogInput, LogOutput, WasmTaskBuilder, WasmTaskConfig
from .exceptions import (
    AuthenticationError,
    BadRequestError,
    ClientError,
    ConflictError,
    FsError,
    FunctionStreamTimeoutError,
    InternalServerError,
    NetworkError,
    NotFoundError,
    PermissionDeniedError,
    ResourceExhaustedError,
    ServerError,
)
from .models import FunctionInfo, ShowFunctionsResult

__all__ = [
    "AuthenticationError",
    "BadRequestError",
    "ClientError",
    "ConfigBuilder",
    "ConflictError",
    "FsClient",
    "FsError",
    "FunctionInfo",
    "FunctionStreamTimeoutError",
    "InternalServerError",
    "KafkaInput",
    "KafkaOutput",
    "LogInput",
    "LogOutput",
    "NetworkError",
    "NotFoundError",
    "PermissionDeniedError",
    "ResourceExhaustedError",
    "ServerError",
    "ShowFunctionsResult",
    "WasmTaskBuilder",
    "WasmTaskConfig",
]
