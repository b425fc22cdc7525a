"""The other end of the agent's socket, for commands on the node. It may be anybody's: nothing of it is trusted."""

import errno
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Final

import mnp_core
from mnp_core.classes import frozen
from mnp_core.errors import MnpError, UnsupportedError
from mnp_core.node.status.lines import LineReader, LineTooLongError
from mnp_core.node.status.peer import peer_uid
from mnp_core.node.status.protocol import LONGEST_LINE, PROTOCOL, Refusal, RefusedError, Request, decode

_SECONDS: Final = 15.0  # of silence
_SHOWN: Final = 500  # characters of a foreign text


class BrokenAnswerError(MnpError):
    """The answer is none of an agent, or has broken off."""


@frozen
class Agent:
    """The agent behind a socket.

    Attributes:
        path: Of the socket.
        seconds: The longest silence.
        users: Those whose answers are believed.
    """

    path: Path
    seconds: float = _SECONDS
    users: frozenset[int] = frozenset({0})

    def ask(
        self, name: str, arguments: Mapping[str, Any] | None = None, *, beats: bool = False
    ) -> Iterator[dict[str, Any]]:
        """The items of the answer to a request, as they come.

        Args:
            name: Of the request.
            arguments: Of the request.
            beats: Whether an empty item is given each time that the agent says no more than that it is there.

        Raises:
            UnsupportedError: Nobody listens, or this user may not ask.
            RefusedError: The agent gives the reason.
            BrokenAnswerError: The answer cannot be understood, or did not come to its end.
        """
        with closing(self._connected()) as connection:
            if (user := peer_uid(connection)) not in self.users:
                raise UnsupportedError(
                    f"{self.path} is a socket of user {user}, not of root: nothing of it is believed"
                )
            with suppress(OSError):  # refused at once: the reason is there to be read
                connection.sendall(Request(name=name, arguments=arguments or {}).line())
            for item in self._items(LineReader(connection, LONGEST_LINE)):
                if item is not None or beats:
                    yield item or {}

    def _connected(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.settimeout(self.seconds)
            connection.connect(str(self.path))
        except OSError as error:
            connection.close()
            raise UnsupportedError(_unreachable(self.path, error)) from error
        return connection

    def _items(self, lines: LineReader) -> Iterator[dict[str, Any] | None]:
        """The items; None for each line that only says that the agent is there."""
        self._check_head(self._next(lines) or {})
        while (line := self._next(lines)) is None or "end" not in line:
            if line is None:
                yield None
                continue
            if "error" in line:
                raise _refused(line["error"])
            if not isinstance(item := line.get("item"), dict):
                raise BrokenAnswerError(f"{self.path} sends something else than an agent does")
            yield item

    def _check_head(self, head: dict[str, Any]) -> None:
        if head.get("protocol") == PROTOCOL:
            return
        if "protocol" not in head:
            raise BrokenAnswerError(f"{self.path} is not the socket of an agent: its answer begins differently")
        theirs = f"version {_printable(head.get('version'))} with protocol {_printable(head.get('protocol'))}"
        ours = f"this is version {mnp_core.__version__} with protocol {PROTOCOL}"
        raise RefusedError(Refusal.OTHER_PROTOCOL, f"the agent is of {theirs}, {ours}: use the agent's own mnp")

    def _next(self, lines: LineReader) -> dict[str, Any] | None:
        try:
            line = lines.line_within(self.seconds)
            return decode(line) if line else None
        except TimeoutError as error:
            raise BrokenAnswerError(f"{self.path}: no answer of the agent for {self.seconds:g} seconds") from error
        except (EOFError, ConnectionError) as error:
            raise BrokenAnswerError(f"{self.path}: the answer has broken off; see whether the agent runs") from error
        except LineTooLongError as error:
            raise BrokenAnswerError(f"{self.path} is not the socket of an agent: {error}") from error
        except ValueError as error:
            raise BrokenAnswerError(f"{self.path} is not the socket of an agent: its answer is no JSON") from error


def _refused(error: object) -> MnpError:
    if isinstance(error, dict):
        reason, message = error.get("reason"), _printable(error.get("message"))
        known = next((each for each in Refusal if each.value == reason), Refusal.DEFECT)
        return RefusedError(known, f"the agent refuses ({_printable(reason)}): {message}")
    return BrokenAnswerError("the agent refuses, and does not say why")


def _printable(value: object) -> str:
    text = str(value)[:_SHOWN]
    return "".join(character if character.isprintable() else " " for character in text)


def _unreachable(path: Path, error: OSError) -> str:
    match error.errno:
        case errno.ENOENT | errno.ENOTDIR:
            found = "there is no such socket. Run it on a node with a running agent, in the agent's container"
        case errno.ECONNREFUSED:
            found = "nobody listens there: the agent has ended, or the file is no socket of its own"
        case errno.EACCES | errno.EPERM:
            found = "permission denied: only root may ask the agent" + (", run it with sudo" if os.geteuid() else "")
        case _:
            found = f"{error.strerror or error}"
    return f"cannot ask the agent at {path}: {found} (--socket gives its path, the agent's setting is agent-socket)"
