"""Puts the CNI plugin into a node's folder of CNI plugins."""

import os
import stat
from contextlib import suppress
from pathlib import Path
from tempfile import mkstemp
from typing import Final

from attrs import frozen

from mnp_core.errors import InputError, UnsupportedError

NAME: Final = "mnp-cnigate"
"""Of the executable, and its `type` in a network configuration."""

_MODE: Final = 0o755
_PACKAGED: Final = Path(__file__).parent / "bin"


@frozen
class Installed:
    """The executable on the node, and whether it was written now."""

    path: Path
    changed: bool


def install_executable(folder: Path, machine: str, packaged: Path = _PACKAGED) -> Installed:
    """Install it atomically: a call finds the old or the new one, and all of it.

    Args:
        folder: The runtime's folder of CNI plugins.
        machine: As uname has it, for instance ``x86_64``.
        packaged: The folder with the executables of all machines.

    Raises:
        InputError: The folder cannot be used.
        UnsupportedError: There is no executable for this machine.
    """
    content = _read(packaged / f"{NAME}-{machine}", machine)
    if not folder.is_dir():
        raise InputError("is no folder; give the runtime's folder of CNI plugins", where=str(folder))
    path = folder / NAME
    try:
        if _is_up_to_date(path, content):
            return Installed(path, changed=False)
        _write(path, content)
    except OSError as error:
        raise InputError(f"{error.strerror}; it has to be writable, and no folder itself", where=str(path)) from error
    return Installed(path, changed=True)


def _read(path: Path, machine: str) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        remedy = "take a wheel that was built with ziglang, or in a checkout: make cnigate"
        raise UnsupportedError(f"this mnp-cnigate has no executable for {machine}; {remedy}") from None


def _is_up_to_date(path: Path, content: bytes) -> bool:
    try:
        found = path.lstat()
        return stat.S_ISREG(found.st_mode) and stat.S_IMODE(found.st_mode) == _MODE and path.read_bytes() == content
    except FileNotFoundError:
        return False


def _write(path: Path, content: bytes) -> None:
    descriptor, temporary = mkstemp(prefix=f".{NAME}-", dir=path.parent)  # no CNI type begins with a dot
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            os.fchmod(file.fileno(), _MODE)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        with suppress(FileNotFoundError):
            Path(temporary).unlink()
        raise
    _sync(path.parent)


def _sync(folder: Path) -> None:
    """Make the new name last through a crash of the node."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
