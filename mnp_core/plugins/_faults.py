"""Exceptions of plugins, contained and described."""

from collections.abc import Iterator
from contextlib import contextmanager
from traceback import extract_tb

_LONGEST = 400  # characters of a message; more is a text, not a sentence


class InvalidPluginError(Exception):
    """A plugin cannot be used; with the reason, without the plugin's name."""


@contextmanager
def guarded(what: str) -> Iterator[None]:
    """Turn any exception of plugin code into an `InvalidPluginError`; only Ctrl-C passes.

    Raises:
        InvalidPluginError: With `what`, the error and where it was raised.
    """
    try:
        yield
    except (InvalidPluginError, KeyboardInterrupt):
        raise
    except BaseException as error:  # `sys.exit()` in a plugin must not end the agent
        raise InvalidPluginError(f"{what}: {describe(error)}") from error


def describe(error: BaseException) -> str:
    """The error in one line: type, message, file and line."""
    try:
        message = " ".join(str(error).split())
    except Exception:  # noqa: BLE001 - an exception of a plugin may even fail to print itself
        message = "(it cannot be printed)"
    text = f"{type(error).__name__}: {message}" if message else type(error).__name__
    frames = extract_tb(error.__traceback__)
    place = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    return text[:_LONGEST] + place
