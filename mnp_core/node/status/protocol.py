"""The protocol of the agent's socket: one JSON value a line, a request from the client, then lines of the agent.

    {"protocol": 1, "request": "status", "arguments": {"namespace": "demo"}}

    {"protocol": 1, "version": "0.1.0", "node": "worker-1"}
    {"item": {…}}
    {"end": true}                         or {"error": {"reason": "Input", "message": "…"}}

An empty line means: still there. Without the last line the answer has broken off. Either side refuses another protocol.
"""

import json
from collections.abc import Callable, Generator, Mapping
from enum import StrEnum
from typing import Any, Final

from attrs import field

from mnp_core.classes import frozen
from mnp_core.errors import InputError, MnpError

PROTOCOL: Final = 1
LONGEST_REQUEST: Final = 64 * 1024  # bytes of its line
LONGEST_LINE: Final = 16 * 1024 * 1024  # bytes of a line of the answer

Item = Mapping[str, object]
Answers = Generator[Item | None, None, None]
"""Items; None says that there is none yet, at least once a second."""


class Refusal(StrEnum):
    """Why a request is not answered: stable words."""

    FORBIDDEN = "Forbidden"  # the client is not root
    OTHER_PROTOCOL = "OtherProtocol"
    UNKNOWN_REQUEST = "UnknownRequest"
    INPUT = "Input"  # an argument or the line itself
    BUSY = "Busy"  # too many clients
    NO_ANSWER = "NoAnswer"  # of the agent's thread, in time
    DEFECT = "Defect"


class RefusedError(MnpError):
    """A request that is not answered.

    Attributes:
        reason: Why.
    """

    def __init__(self, reason: Refusal, message: str) -> None:
        self.reason = reason
        super().__init__(message)


@frozen(kw_only=True)
class Request:
    """A request of a client."""

    name: str
    arguments: Mapping[str, Any] = field(factory=dict)

    def line(self) -> bytes:
        """The line that is sent."""
        return encode({"protocol": PROTOCOL, "request": self.name, "arguments": self.arguments})


@frozen(kw_only=True)
class RequestKind:
    """One kind of request.

    Attributes:
        answer: Gives the items of the answer, on the client's own thread; raises InputError for wrong arguments. It is
            closed when the client leaves.
        endless: Whether the answer goes on until the client leaves.
    """

    answer: Callable[[Mapping[str, Any]], Answers]
    endless: bool = False


def encode(value: Mapping[str, object]) -> bytes:
    """One line."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=True).encode() + b"\n"


def decode(line: bytes) -> dict[str, Any]:
    """The object of a line.

    Raises:
        ValueError: It is none.
    """
    try:
        value = json.loads(line)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(value, dict):
        raise ValueError("no JSON object")  # noqa: TRY004 - as for other lines that are none
    return value


def parse_request(line: bytes) -> Request:
    """Understand the line of a client.

    Raises:
        RefusedError: It is no request, or one of another protocol.
    """
    try:
        value = decode(line)
    except ValueError as error:
        raise RefusedError(Refusal.INPUT, f"the request is no line of JSON: {error}") from error
    if (protocol := value.get("protocol")) != PROTOCOL or isinstance(protocol, bool):
        text = (
            f"the agent speaks protocol {PROTOCOL}, the request is of protocol {protocol!r:.20}: use the same version"
        )
        raise RefusedError(Refusal.OTHER_PROTOCOL, text)
    name, arguments = value.get("request"), value.get("arguments", {})
    if not isinstance(name, str) or not isinstance(arguments, dict):
        raise RefusedError(Refusal.INPUT, "a request has a name and a mapping of arguments")
    return Request(name=name, arguments=arguments)


def text_argument(arguments: Mapping[str, Any], name: str) -> str:
    """A text among the arguments; empty if it is not there.

    Raises:
        InputError: It is no text.
    """
    value = arguments.get(name)
    if not isinstance(value, str | None):
        raise InputError("must be a string", where="request", field=name)
    return value or ""


def texts_argument(arguments: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """A list of texts among the arguments; empty if it is not there.

    Raises:
        InputError: It is no list of texts.
    """
    value = arguments.get(name)
    if value is not None and not (isinstance(value, list) and all(isinstance(each, str) for each in value)):
        raise InputError("must be a list of strings", where="request", field=name)
    return tuple(value or ())


def reject_unknown(arguments: Mapping[str, Any], known: frozenset[str]) -> None:
    """Refuse arguments without a meaning; raises InputError."""
    if unknown := sorted(arguments.keys() - known):
        raise InputError(f"there is no argument {unknown[0][:80]!r}", where="request")
