"""The socket's place in the file system: a directory of root alone, one agent, and no window for another process.

Nothing is reached through a symbolic link or a directory that others can write to, so nobody can put another file in
the way, or a socket of their own in the socket's place.
"""

import fcntl
import os
import socket
import stat
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final, Self

from mnp_core.closing import Closing
from mnp_core.errors import UnsupportedError

_MODE: Final = 0o600
_DIRECTORY_MODE: Final = 0o700
_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH
_BACKLOG: Final = 16


class Place(Closing):
    """A listening socket at a path, for one agent at a time."""

    def __init__(self, path: Path) -> None:
        """Listen there; a socket that an ended agent has left is replaced.

        Raises:
            UnsupportedError: The path cannot be used, or another agent has it.
        """
        self._path = path
        with ExitStack() as stack:
            self._directory = _opened(path.parent, {path.name, _lock_name(path)})
            stack.callback(os.close, self._directory)
            self._lock = _locked(self._directory, path)
            stack.callback(os.close, self._lock)
            self.listener = _listening(self._directory, path)
            stack.callback(self.listener.close)
            self._identity = self._found()
            self._stack = stack.pop_all()

    @property
    def is_there(self) -> bool:
        """Whether the path still leads to this socket."""
        try:
            found = self._path.lstat()
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == self._identity

    def close(self) -> None:
        """Remove it."""
        with suppress(OSError):
            if self._found() == self._identity:
                os.unlink(self._path.name, dir_fd=self._directory)
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def _found(self) -> tuple[int, int]:
        found = os.stat(self._path.name, dir_fd=self._directory, follow_symlinks=False)
        return found.st_dev, found.st_ino


def _lock_name(path: Path) -> str:
    return f"{path.name}.lock"


def _opened(directory: Path, ours: set[str]) -> int:
    """Open the directory, step by step from the root; make the last step if it is not there."""
    if not directory.is_absolute() or ".." in directory.parts:
        raise UnsupportedError(f"the socket's path has to be absolute and without '..': {directory}")
    at = os.open("/", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for depth, name in enumerate(steps := directory.parts[1:], start=1):
            here = Path("/", *steps[:depth])
            is_last = depth == len(steps)
            if is_last:
                with suppress(FileExistsError):
                    os.mkdir(name, _DIRECTORY_MODE, dir_fd=at)
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
            at, before = os.open(name, flags, dir_fd=at), at
            os.close(before)
            _check(at, here, ours if is_last else None)
    except OSError as error:
        os.close(at)
        raise UnsupportedError(
            f"the socket's directory {here} cannot be used: {error.strerror}. It has to be a real directory"
        ) from error
    except BaseException:
        os.close(at)
        raise
    return at


def _check(directory: int, path: Path, ours: set[str] | None) -> None:
    """Have one step of the path belong to root alone; an empty last one, such as a volume, is taken."""
    status = os.fstat(directory)
    if status.st_uid not in {0, os.geteuid()}:
        raise UnsupportedError(f"{path} belongs to user {status.st_uid}: the socket's directory has to be root's")
    if not status.st_mode & _OTHERS_WRITE or (ours is None and status.st_mode & stat.S_ISVTX):
        return
    if ours is not None and not status.st_mode & stat.S_ISVTX and set(os.listdir(directory)) <= ours:
        os.fchmod(directory, _DIRECTORY_MODE)
        return
    raise UnsupportedError(f"others may write to {path}: put the socket into a directory of root's own, with mode 0700")


def _locked(directory: int, path: Path) -> int:
    """A lock that the kernel releases with the process."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        lock = os.open(_lock_name(path), flags, _MODE, dir_fd=directory)
    except OSError as error:
        raise UnsupportedError(f"{path}.lock cannot be opened: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        raise UnsupportedError(f"another agent has the socket {path}") from error
    return lock


def _listening(directory: int, path: Path) -> socket.socket:
    """Listen at the path, whose lock is held: a socket there is that of an ended agent."""
    at = f"/proc/self/fd/{directory}/{path.name}"  # the directory that was checked, and a short name
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _remove_stale(directory, path)
        os.fchmod(listener.fileno(), _MODE)  # before it is bound: the file never has another mode
        listener.bind(at)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise UnsupportedError(f"cannot listen at {path}: {error.strerror or error}") from error
    except BaseException:
        listener.close()
        raise
    return listener


def _remove_stale(directory: int, path: Path) -> None:
    try:
        found = os.stat(path.name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise UnsupportedError(f"{path} is there and no socket: remove it, or set another path")
    os.unlink(path.name, dir_fd=directory)
