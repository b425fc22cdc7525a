"""The Unix socket: one agent's, root's alone, and never taken from one that lives."""

import os
import secrets
import socket
import stat
import struct
from contextlib import suppress
from pathlib import Path
from typing import Final

from attrs import frozen

from mnp_core.errors import InputError

SETTING: Final = "cnigate-socket"
_LONGEST: Final = 98  # of the 107 bytes in sockaddr_un: the rest is the temporary name's
_REMEDY: Final = "give a path in a folder that root alone can write"
_BACKLOG: Final = 128
_CREDENTIALS: Final = struct.Struct("3i")  # struct ucred: pid, uid, gid


class OccupiedError(InputError):
    """Another process listens there; it may end."""


@frozen(kw_only=True)
class Listener:
    """A listening socket in the file system."""

    path: Path
    socket: socket.socket
    identity: tuple[int, int]

    @classmethod
    def claim(cls, path: Path) -> "Listener":
        """Listen, in place of a dead agent.

        Raises:
            InputError: The path cannot be used.
            OccupiedError: Another process listens there.
        """
        try:
            _check_folder(path)
            _check_free(path)
            return cls._bind(path)
        except OSError as error:
            raise _unusable(path, f"{error.strerror}; {_REMEDY}") from error

    @classmethod
    def _bind(cls, path: Path) -> "Listener":
        """Bind elsewhere and rename: at its path the socket always listens, with its final permissions."""
        temporary = Path(f"{path}.{secrets.token_hex(4)}")
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listening.bind(str(temporary))
            temporary.chmod(0o600)
            listening.listen(_BACKLOG)
            found = temporary.stat()
            temporary.rename(path)
        except OSError:
            listening.close()
            with suppress(FileNotFoundError):
                temporary.unlink()
            raise
        return cls(path=path, socket=listening, identity=(found.st_dev, found.st_ino))

    @property
    def in_place(self) -> bool:
        """Whether the path still leads here."""
        try:
            found = self.path.lstat()
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == self.identity

    def close(self) -> None:
        """Stop listening, which ends `accept` on another thread, and remove the path unless it is another's."""
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        if self.in_place:
            with suppress(OSError):
                self.path.unlink()
        self.socket.close()


def peer(connection: socket.socket) -> tuple[int, int]:
    """Process and user at the other end; the process is 0 in another container."""
    process, user, _ = _CREDENTIALS.unpack(
        connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    )
    return process, user


def _place(path: Path) -> dict[str, str]:
    return {"where": f"setting {SETTING}", "field": str(path)}


def _unusable(path: Path, message: str) -> InputError:
    return InputError(message, **_place(path))


def _check_folder(path: Path) -> None:
    if not path.is_absolute() or len(os.fsencode(path)) > _LONGEST:
        raise _unusable(path, f"give an absolute path of at most {_LONGEST} bytes")
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = path.parent.stat()
    if found.st_uid not in {0, os.geteuid()} or found.st_mode & 0o022:
        raise _unusable(path, f"others can write to {path.parent}; {_REMEDY}")


def _check_free(path: Path) -> None:
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise _unusable(path, "is there and no socket; remove it, or give another path")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as tried:
        tried.settimeout(0)
        try:
            tried.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return
        except BlockingIOError:  # its backlog is full
            process = 0
        else:
            process = peer(tried)[0]
    whose = f"process {process}" if process else "another process"
    raise OccupiedError(f"{whose} listens there; end that agent, or give another path", **_place(path))
