# Copyright 2024 Function Stream Org.
# SPDX-License-Identifier: Apache-2.0

"""What can go wrong between a client and a server."""

import grpc


class FsError(Exception):
    """Any of them."""

    def __init__(self, message, original_exception=None):
        super().__init__(message)
        self.original_exception = original_exception


class ClientError(FsError):
    """The client could not make the request."""


class ServerError(FsError):
    """The server refused the request, or could not be asked.

    ``status_code`` is the status that it answered, ``error_code`` its stable code such as FS-1101, and ``grpc_code`` the
    status of the call if there was no answer.
    """

    def __init__(self, message, status_code=None, grpc_code=None, error_code=""):
        super().__init__(message)
        self.status_code = status_code
        self.grpc_code = grpc_code
        self.error_code = error_code


class NetworkError(ServerError):
    """The server could not be reached."""


class FunctionStreamTimeoutError(ServerError):
    """It took too long."""


class BadRequestError(ServerError):
    """The request is not right."""


class AuthenticationError(ServerError):
    """Who asks is not known."""


class PermissionDeniedError(ServerError):
    """Who asks may not."""


class NotFoundError(ServerError):
    """There is no such thing."""


class ConflictError(ServerError):
    """There is one already, or it is not in a state for this."""


class ResourceExhaustedError(ServerError):
    """Too much at once."""


class InternalServerError(ServerError):
    """A fault of the server."""


_OF_STATUS = {
    400: BadRequestError,
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    409: ConflictError,
    429: ResourceExhaustedError,
    500: InternalServerError,
}

_OF_CALL = {
    grpc.StatusCode.INVALID_ARGUMENT: BadRequestError,
    grpc.StatusCode.OUT_OF_RANGE: BadRequestError,
    grpc.StatusCode.UNAUTHENTICATED: AuthenticationError,
    grpc.StatusCode.PERMISSION_DENIED: PermissionDeniedError,
    grpc.StatusCode.NOT_FOUND: NotFoundError,
    grpc.StatusCode.ALREADY_EXISTS: ConflictError,
    grpc.StatusCode.ABORTED: ConflictError,
    grpc.StatusCode.RESOURCE_EXHAUSTED: ResourceExhaustedError,
    grpc.StatusCode.DEADLINE_EXCEEDED: FunctionStreamTimeoutError,
    grpc.StatusCode.UNAVAILABLE: NetworkError,
    grpc.StatusCode.INTERNAL: InternalServerError,
    grpc.StatusCode.DATA_LOSS: InternalServerError,
    grpc.StatusCode.UNKNOWN: InternalServerError,
    grpc.StatusCode.UNIMPLEMENTED: InternalServerError,
}


def of_answer(answer):
    """Returns the exception of an answer that is a refusal."""
    status = answer.status_code
    return _OF_STATUS.get(status, ServerError)(
        answer.message or "the server gave no reason", status_code=status, error_code=answer.error_code
    )


def of_call(error):
    """Returns the exception of a call without an answer."""
    code = error.code()
    name = code.name if code else "NONE"
    message = f"{error.details() or 'the call failed'} (gRPC code: {name})"
    return _OF_CALL.get(code, ServerError)(message, grpc_code=code)
