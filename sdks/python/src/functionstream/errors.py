# Copyright 2024 Function Stream Org.
# SPDX-License-Identifier: Apache-2.0

"""The errors of the SDK itself."""


class FunctionError(Exception):
    """The host refused something, or the SDK was used in a way that it does not allow."""


class BatchError(FunctionError):
    """What a whole batch did was refused, so no record is to blame."""
