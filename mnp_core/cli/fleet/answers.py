"""JSON from nodes: untrusted values."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from mnp_core.telemetry.text import printable


class AnswerError(ValueError):
    """An answer that is not as asked for."""


def decode(output: bytes) -> dict[str, Any]:
    """One JSON object.

    Raises:
        AnswerError: It is none.
    """
    try:
        found = json.loads(output)
    except (ValueError, RecursionError):  # also of text that is no UTF-8, and of numbers that are too long
        raise AnswerError(f"its answer is no JSON: {printable(output[:80].decode(errors='replace'))!s}") from None
    if not isinstance(found, dict):
        raise AnswerError("its answer is not the one of an agent")
    return found


def clean(value: Any) -> Any:
    """The same with texts that are safe for a terminal: one line each, without invisible characters."""
    match value:
        case str():
            return printable(value)
        case Mapping():
            return {printable(str(key)): clean(each) for key, each in value.items()}
        case Sequence():
            return [clean(each) for each in value]
        case _:
            return value
