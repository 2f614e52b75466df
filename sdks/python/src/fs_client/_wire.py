# Copyright 2024 Function Stream Org.
# SPDX-License-Identifier: Apache-2.0

"""The messages and calls of proto/function_stream.proto that the client uses, without code that was generated from it."""

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_PACKAGE = "function_stream"
_SERVICE = f"/{_PACKAGE}.FunctionStreamService/"

# Name, number and type of each field; a type with a star repeats, one with a question mark may be missing.
_MESSAGES = {
    "PythonModule": [("module_name", 1, "string"), ("module_bytes", 2, "bytes")],
    "CreateFunctionRequest": [("config_bytes", 1, "bytes"), ("function_bytes", 2, "bytes")],
    "CreatePythonFunctionRequest": [
        ("class_name", 1, "string"),
        ("modules", 2, "*PythonModule"),
        ("config_content", 3, "string"),
    ],
    "DropFunctionRequest": [("function_name", 1, "string")],
    "StartFunctionRequest": [("function_name", 1, "string")],
    "StopFunctionRequest": [("function_name", 1, "string")],
    "ShowFunctionsRequest": [("filter", 1, "?string")],
    "Response": [
        ("status_code", 1, "int32"),
        ("message", 2, "string"),
        ("data", 3, "?bytes"),
        ("error_code", 4, "string"),
    ],
    "FunctionInfo": [("name", 1, "string"), ("task_type", 2, "string"), ("status", 3, "string")],
    "ShowFunctionsResponse": [
        ("status_code", 1, "int32"),
        ("message", 2, "string"),
        ("functions", 3, "*FunctionInfo"),
        ("error_code", 4, "string"),
    ],
}

_CALLS = {
    "CreateFunction": ("CreateFunctionRequest", "Response"),
    "CreatePythonFunction": ("CreatePythonFunctionRequest", "Response"),
    "DropFunction": ("DropFunctionRequest", "Response"),
    "StartFunction": ("StartFunctionRequest", "Response"),
    "StopFunction": ("StopFunctionRequest", "Response"),
    "ShowFunctions": ("ShowFunctionsRequest", "ShowFunctionsResponse"),
}


def _classes():
    # An enum and an int32 are the same on the wire; as a number a status of a later server is no trouble.
    kinds = descriptor_pb2.FieldDescriptorProto
    scalar = {"string": kinds.TYPE_STRING, "bytes": kinds.TYPE_BYTES, "int32": kinds.TYPE_INT32}
    file = descriptor_pb2.FileDescriptorProto(name="fs_client/wire.proto", package=_PACKAGE, syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field_name, number, kind in fields:
            field = message.field.add(name=field_name, number=number, label=kinds.LABEL_OPTIONAL)
            mark, kind = (kind[0], kind[1:]) if kind[0] in "*?" else ("", kind)
            if mark == "*":
                field.label = kinds.LABEL_REPEATED
            elif mark == "?":
                field.proto3_optional = True
                field.oneof_index = len(message.oneof_decl)
                message.oneof_decl.add(name=f"_{field_name}")
            if kind in scalar:
                field.type = scalar[kind]
            else:
                field.type, field.type_name = kinds.TYPE_MESSAGE, f".{_PACKAGE}.{kind}"
    # A pool of its own: others may have the messages of the whole file in the common one.
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}")) for name in _MESSAGES}


MESSAGES = _classes()


class Stub:
    """The calls, each a method of a channel."""

    def __init__(self, channel):
        for name, (request, response) in _CALLS.items():
            call = channel.unary_unary(
                _SERVICE + name,
                request_serializer=MESSAGES[request].SerializeToString,
                response_deserializer=MESSAGES[response].FromString,
            )
            setattr(self, name, call)
