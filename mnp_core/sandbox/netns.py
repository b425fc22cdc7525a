"""Enter a pod's network namespace, and only that one, and come back.

A thread is in a network namespace, not a process, and all its actions (sockets, interface names, a library's own
sockets) take effect there. So each piece of work runs on a thread of its own or of a `mnp_core.sandbox.pool`, never on
the caller's; the identity of the namespace is checked before and after entering; the host's is refused: rules on the
host are the one mistake that must be impossible.
"""

import fcntl
import os
import stat
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from functools import cache
from typing import TypeVar

from mnp_core.api import Sandbox
from mnp_core.classes import frozen
from mnp_core.errors import MnpError, SandboxError, SandboxNotFoundError, UnsupportedError
from mnp_core.netfilter.kept import inside
from mnp_core.sandbox._syscalls import CLONE_NEWNET, identity_of_network_namespace, identity_of_open, setns

T = TypeVar("T")
Identity = tuple[int, int]
"""Device and inode of an nsfs file: equal exactly when the namespace is the same."""

_NS_GET_NSTYPE = 0xB703  # _IO(0xb7, 3) in <linux/nsfs.h>, ioctl_nsfs(2)

PRIVILEGES = "run as root with CAP_SYS_ADMIN, and with CAP_SYS_PTRACE for namespaces of processes (/proc/PID/ns/net)"
"""The remedy for missing privileges on namespaces."""


def identify(path: str) -> Sandbox:
    """Look at a network namespace by a path such as ``/proc/PID/ns/net``, ``/run/netns/NAME``, ``/proc/PID/fd/N``.

    Raises:
        SandboxNotFoundError: The path does not exist, or is not a network namespace.
        UnsupportedError: This process may not look at it.
    """
    with _opened(path) as (fd, identity):
        if not _is_network_namespace(fd):
            raise SandboxNotFoundError(f"{path}: a namespace or file, but not a network namespace")
    device, inode = identity
    return Sandbox(path=path, device=device, inode=inode)


def is_there(sandbox: Sandbox) -> bool:
    """Whether its path still leads to it; for the price of one stat(2)."""
    try:
        return _identity(os.stat(sandbox.path)) == (sandbox.device, sandbox.inode)  # noqa: PTH116 # a magic link
    except (OSError, ValueError):
        return False


def is_hosts_own(sandbox: Sandbox) -> bool:
    """Whether it is the namespace that this process started in, or that of pid 1: never a pod's to be enforced."""
    return (sandbox.device, sandbox.inode) in _home().refused


def run_inside(sandbox: Sandbox, work: Callable[[], T]) -> T:
    """Run the work in the sandbox, on a thread made for it, and return its result.

    Raises:
        SandboxNotFoundError: The namespace has gone, or the path leads to another one by now.
        SandboxError: It is the host's own.
        UnsupportedError: This process may not enter namespaces.
        Exception: As raised by the work.
    """
    future: Future[T] = Future()
    threading.Thread(target=run_here, args=(future, sandbox, work), name="sandbox", daemon=True).start()
    try:
        return future.result()
    finally:
        del future  # an exception's traceback holds this frame: break the cycle


def run_here(future: Future[T], sandbox: Sandbox | None, work: Callable[[], T]) -> bool:
    """Do the work in the sandbox on the calling thread, come back, then settle the future.

    For threads that serve only sandboxes; all other callers use `run_inside` or a pool. Without a sandbox the thread
    stays where it is.

    Returns:
        Whether the thread is back home. If not it must end: its next action would take effect in the sandbox.
    """
    if not future.set_running_or_notify_cancel():
        return True
    back = True
    try:
        if sandbox is None:
            result = work()
        else:
            home = _home()
            with _opened(sandbox.path) as (fd, found):
                _check_target(sandbox, found, home)
                back = False
                try:
                    _enter(fd, found)
                    with inside(found):
                        result = work()
                finally:
                    back = _come_back(home)
    except BaseException as error:  # noqa: BLE001 # it belongs to the waiter of the future
        future.set_exception(error)
    else:
        future.set_result(result)
    return back


@frozen(kw_only=True)
class _Home:
    """The namespace in which this process started: home of all threads and never a sandbox.

    Attributes:
        fd: An open file of it, for the life of the process.
        identity: Its identity.
        refused: It, and that of pid 1 where it can be seen.
    """

    fd: int
    identity: Identity
    refused: frozenset[Identity]


@cache
def _home() -> _Home:
    fd = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)  # of the main thread, which never enters a sandbox
    identity = identity_of_open(fd)
    return _Home(fd=fd, identity=identity, refused=frozenset({identity, *_identity_of_init()}))


def _identity_of_init() -> Iterator[Identity]:
    try:
        yield _identity(os.stat("/proc/1/ns/net"))  # noqa: PTH116 # a magic link, not a file system path
    except OSError:
        return  # another user's, or a kernel that hides it


@contextmanager
def _opened(path: str) -> Iterator[tuple[int, Identity]]:
    """A regular file (as nsfs files are) and its identity; other files are not even opened."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116 # a magic link, not a file system path
            raise SandboxNotFoundError(f"{path}: not a network namespace but a directory, device or the like")
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except PermissionError as error:
        raise UnsupportedError(f"{path}: this process may not open the network namespace: {PRIVILEGES}") from error
    except (OSError, ValueError) as error:
        raise SandboxNotFoundError(f"{path}: no network namespace: {error}") from error
    try:
        yield fd, identity_of_open(fd)
    finally:
        os.close(fd)


def _identity(status: os.stat_result) -> Identity:
    return status.st_dev, status.st_ino


def _is_network_namespace(fd: int) -> bool:
    try:
        return fcntl.ioctl(fd, _NS_GET_NSTYPE) == CLONE_NEWNET
    except OSError:
        return False  # ENOTTY: an ordinary file


def _check_target(sandbox: Sandbox, found: Identity, home: _Home) -> None:
    if found in home.refused:
        raise SandboxError(f"{sandbox.path}: the host's own network namespace, where no pod's rules may ever be put")
    if found != (sandbox.device, sandbox.inode):
        raise SandboxNotFoundError(
            f"{sandbox.path}: the network namespace with inode {sandbox.inode} has gone, inode {found[1]} is there now"
        )


def _enter(fd: int, identity: Identity) -> None:
    try:
        setns(fd, CLONE_NEWNET)
    except PermissionError as error:
        raise UnsupportedError(f"this process may not enter network namespaces: {PRIVILEGES}") from error
    except OSError as error:
        raise SandboxNotFoundError(f"network namespace with inode {identity[1]} cannot be entered: {error}") from error
    if identity_of_network_namespace() != identity:
        raise SandboxError(f"entered another network namespace than the one with inode {identity[1]}: nothing was done")


def _come_back(home: _Home) -> bool:
    try:
        _enter(home.fd, home.identity)
    except MnpError:
        return identity_of_network_namespace() == home.identity  # it may never have left
    return True
