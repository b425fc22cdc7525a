"""One word for why an attempt failed, by the error that it ended with."""

from typing import Final

from mnp_core.api import Failure
from mnp_core.errors import (
    ApplyError,
    InputError,
    MnpError,
    PluginError,
    SandboxError,
    SandboxNotFoundError,
    UnsupportedError,
)

_WORDS: Final = {
    SandboxNotFoundError: Failure.NOT_FOUND,
    ApplyError: Failure.REFUSED,
    SandboxError: Failure.SANDBOX,
    UnsupportedError: Failure.UNSUPPORTED,
    PluginError: Failure.PLUGIN,
    InputError: Failure.INPUT,
    MnpError: Failure.OTHER,
}


def failure_of(error: Exception) -> Failure:
    """Find the word of the nearest class; what no contract allows to be raised came from a plugin."""
    return next((_WORDS[cls] for cls in type(error).__mro__ if cls in _WORDS), Failure.PLUGIN)
