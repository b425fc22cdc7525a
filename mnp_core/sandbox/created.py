"""Make network namespaces: for the lab and for tests.

A namespace lives as long as its last reference. Here that is an open file, so it ends with the process, SIGKILL
included; only a namespace pinned to a path outlives it, like those of ``ip netns``.
"""

import errno
import os
import socket
import struct
from concurrent.futures import ThreadPoolExecutor
from fcntl import ioctl
from io import FileIO
from pathlib import Path

from attrs import field

from mnp_core.api import Sandbox
from mnp_core.classes import frozen
from mnp_core.closing import Closing
from mnp_core.errors import InputError, SandboxError, SandboxNotFoundError, UnsupportedError
from mnp_core.netfilter.kept import close_sockets
from mnp_core.sandbox._syscalls import CLONE_NEWNET, bind_mount, unmount, unshare
from mnp_core.sandbox.netns import PRIVILEGES, identify

_SIOCGIFFLAGS = 0x8913  # <linux/sockios.h>
_SIOCSIFFLAGS = 0x8914
_IFREQ_FLAGS = "16sH22x"  # struct ifreq: name, flags, the rest of the union
_IFF_UP = 1


@frozen(kw_only=True)
class NetworkNamespace(Closing):
    """A network namespace that exists until it is closed, or the process ends, unless it is pinned.

    Attributes:
        sandbox: How to enter it; the path is good in every thread and process while this object is open.
    """

    sandbox: Sandbox
    _file: FileIO = field(repr=False)

    def close(self) -> None:
        """Drop the reference, and the sockets that this process keeps open there."""
        close_sockets((self.sandbox.device, self.sandbox.inode))
        self._file.close()


def new_namespace() -> NetworkNamespace:
    """Make a namespace that contains only ``lo``, up.

    Raises:
        UnsupportedError: This process may not make namespaces.
    """
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="new-namespace") as throwaway:
        file = throwaway.submit(_unshare).result()
    return NetworkNamespace(sandbox=identify(f"/proc/{os.getpid()}/fd/{file.fileno()}"), file=file)


def pin(sandbox: Sandbox, path: Path) -> Sandbox:
    """Keep a namespace beyond this process, by a name in the file system.

    Args:
        sandbox: The namespace.
        path: A file that does not exist yet, in a directory that does.

    Returns:
        The namespace under its new path; `unpin` lets it go.

    Raises:
        InputError: The path is in use, or its directory is not there.
        SandboxNotFoundError: The namespace has gone.
        UnsupportedError: This process may not mount.
    """
    try:
        path.touch(mode=0o444, exist_ok=False)
    except OSError as error:
        raise InputError(f"cannot pin a network namespace there: {error.strerror}", where=str(path)) from error
    try:
        bind_mount(sandbox.path, str(path))
        return _same(sandbox, identify(str(path)))
    except BaseException as error:
        unpin(path)
        if isinstance(error, PermissionError):
            raise UnsupportedError(f"{path}: this process may not mount: {PRIVILEGES}") from error
        if isinstance(error, FileNotFoundError):
            raise SandboxNotFoundError(f"{sandbox.path}: the network namespace to be pinned has gone") from error
        raise


def unpin(path: Path) -> None:
    """Unpin a namespace; it ends with its last reference. A missing path is no error.

    Raises:
        InputError: The path was not made by `pin`.
        UnsupportedError: This process may not unmount.
    """
    try:
        unmount(str(path))
    except FileNotFoundError:
        return
    except PermissionError as error:
        raise UnsupportedError(f"{path}: this process may not unmount: {PRIVILEGES}") from error
    except OSError as error:
        if error.errno != errno.EINVAL:  # not a mount point: left by an interrupted `pin` or `unpin`
            raise
    if not path.is_file() or path.stat().st_size:
        raise InputError("not a pinned network namespace, left alone", where=str(path))
    path.unlink()


def _same(wanted: Sandbox, found: Sandbox) -> Sandbox:
    if (wanted.device, wanted.inode) != (found.device, found.inode):
        raise SandboxError(f"{wanted.path}: became another network namespace while it was pinned to {found.path}")
    return found


def _unshare() -> FileIO:
    try:
        unshare(CLONE_NEWNET)
    except PermissionError as error:
        raise UnsupportedError(f"this process may not make network namespaces: {PRIVILEGES}") from error
    file = FileIO("/proc/thread-self/ns/net")
    try:
        _raise_loopback()
    except BaseException:
        file.close()
        raise
    return file


def _raise_loopback() -> None:
    """A new namespace's ``lo`` is down, and a pod that cannot talk to itself is no pod (S44); see netdevice(7)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as anything:
        request = struct.pack(_IFREQ_FLAGS, b"lo", 0)
        _, flags = struct.unpack(_IFREQ_FLAGS, ioctl(anything, _SIOCGIFFLAGS, request))
        ioctl(anything, _SIOCSIFFLAGS, struct.pack(_IFREQ_FLAGS, b"lo", flags | _IFF_UP))
