"""Netfilter sockets that stay open for the next conversation in their network namespace.

The kernel holds up whoever closes a netfilter socket until everything that earlier transactions in the namespace have
removed is destroyed, a grace period of RCU later (nft_rcv_nl_event): some 10 ms after a removal, in which the namespace
takes no commit either. A socket that nobody has used for a second waits for nothing. A thread closes it then,
or as soon as the pod is gone: a socket keeps its network namespace alive, and with it devices that answer for the pod.

Of a namespace in which this process enforces, one socket stays open as long as it does: a socket belongs to the
namespace in which it was made, so a commit over it need not enter.
"""

import os
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final

from mnp_core.classes import frozen
from mnp_core.netfilter.nfnetlink import Nfnetlink

_KEPT_SECONDS: Final = 1.0  # more than a grace period by far
_MOST: Final = 256  # sockets; the files of a process are limited

Namespace = tuple[int, int]
"""Device and inode of a network namespace."""


@frozen
class _Idle:
    """Since when nobody uses a socket (time.monotonic), and its namespace."""

    since: float
    namespace: Namespace


class Shelf:
    """Idle sockets; any thread may use it."""

    def __init__(self, seconds: float = _KEPT_SECONDS) -> None:
        """Begin empty.

        Args:
            seconds: Until an idle socket is closed.
        """
        self._seconds = seconds
        self._begin_anew()

    def _begin_anew(self) -> None:
        """Know no socket. In the child of a fork(2) they are the parent's, and so are answers that wait in them."""
        self._changed = threading.Condition()  # guards all that follows
        self._usable: dict[Namespace, Nfnetlink] = {}
        self._idle: dict[Nfnetlink, _Idle] = {}  # the oldest first
        self._left: list[Nfnetlink] = []  # in namespaces of pods that are gone
        self._kept: dict[Namespace, Nfnetlink | None] = {}  # until `leave`; None: none is there, or it is in use
        self._closes = False  # whether there is a thread

    def take(self, namespace: Namespace) -> Nfnetlink:
        """A socket in this namespace, which is the calling thread's; errors as `Nfnetlink`."""
        return self.find(namespace) or Nfnetlink()

    def find(self, namespace: Namespace) -> Nfnetlink | None:
        """An open socket in a namespace, for any thread; None if there is none."""
        with self._changed:
            kept = self._kept.get(namespace)
            if kept is not None:
                self._kept[namespace] = None
                return kept
            kernel = self._usable.pop(namespace, None)
            if kernel is not None:
                del self._idle[kernel]
            return kernel

    def keep(self, namespace: Namespace) -> None:
        """Keep one socket in a namespace open until `leave`."""
        with self._changed:
            if namespace in self._kept or len(self._kept) >= _MOST:
                return
            kernel = self._kept[namespace] = self._usable.pop(namespace, None)
            if kernel is not None:
                del self._idle[kernel]

    def put(self, kernel: Nfnetlink, namespace: Namespace, *, usable: bool = True) -> None:
        """Give a socket back, for use again or not: after an error answers may still wait in it."""
        with self._changed:
            if usable and self._kept.get(namespace, kernel) is None:
                self._kept[namespace] = kernel
                return
            self._idle[kernel] = _Idle(time.monotonic(), namespace)
            if usable:
                self._usable.setdefault(namespace, kernel)
            self._start_closing()
            if len(self._idle) > _MOST:
                self._changed.notify()

    def take_all(self, namespace: Namespace) -> list[Nfnetlink]:
        """The idle sockets in a namespace, for the caller to close; that may take some 10 ms each."""
        with self._changed:
            return self._take_all(namespace)

    def leave(self, namespace: Namespace) -> None:
        """Have the idle sockets in a namespace closed soon, and keep none there any more."""
        with self._changed:
            self._left += self._take_all(namespace)
            self._start_closing()
            self._changed.notify()

    def _take_all(self, namespace: Namespace) -> list[Nfnetlink]:
        found = [kernel for kernel, idle in self._idle.items() if idle.namespace == namespace]
        self._forget(found)
        kept = self._kept.pop(namespace, None)
        return found if kept is None else [*found, kept]

    def _forget(self, kernels: Iterable[Nfnetlink]) -> None:
        for kernel in kernels:
            namespace = self._idle.pop(kernel).namespace
            if self._usable.get(namespace) is kernel:
                del self._usable[namespace]

    def _start_closing(self) -> None:
        """See that a thread closes what is to be closed. The lock is held."""
        if not self._closes:
            self._closes = True
            threading.Thread(target=self._close_idle, name="sockets", daemon=True).start()

    def _close_idle(self) -> None:
        """Close sockets as they come of age; the thread ends when none is left."""
        while (due := self._due()) is not None:
            for kernel in due:
                kernel.close()

    def _due(self) -> list[Nfnetlink] | None:
        """Wait for sockets that are to be closed, and forget them; None if there are none at all."""
        with self._changed:
            if not self._idle and not self._left:
                self._closes = False
                return None
            if self._idle:
                oldest = next(iter(self._idle.values()))
                self._changed.wait_for(self._hurries, oldest.since + self._seconds - time.monotonic())
            before, surplus = time.monotonic() - self._seconds, len(self._idle) - _MOST
            found = [
                kernel
                for number, (kernel, idle) in enumerate(self._idle.items())
                if number < surplus or idle.since <= before
            ]
            self._forget(found)
            left, self._left = self._left, []
            return left + found

    def _hurries(self) -> bool:
        return len(self._idle) > _MOST or bool(self._left)


class _Place(threading.local):
    namespace: Namespace | None = None


_place, _shelf = _Place(), Shelf()
os.register_at_fork(after_in_child=_shelf._begin_anew)  # noqa: SLF001 # of this module


@contextmanager
def inside(namespace: Namespace) -> Iterator[None]:
    """State the network namespace that the calling thread has entered; it need not be asked for then."""
    _place.namespace = namespace
    try:
        yield
    finally:
        _place.namespace = None


@contextmanager
def kept_socket() -> Iterator[Nfnetlink]:
    """A socket in the calling thread's network namespace, from the last conversation there if there is one.

    For requests with one answer and for transactions, not for dumps. After an exception it is not used again.

    Raises:
        OSError: As `Nfnetlink`.
    """
    namespace = _place.namespace or _current()
    with _given_back(_shelf.take(namespace), namespace) as kernel:
        yield kernel


@contextmanager
def socket_in(namespace: Namespace) -> Iterator[Nfnetlink | None]:
    """A socket that is open in a namespace, for a thread anywhere; None if there is none. Else as `kept_socket`."""
    kernel = _shelf.find(namespace)
    if kernel is None:
        yield None
        return
    with _given_back(kernel, namespace):
        yield kernel


@contextmanager
def _given_back(kernel: Nfnetlink, namespace: Namespace) -> Iterator[Nfnetlink]:
    clean = False
    try:
        yield kernel
        clean = True
    finally:
        _shelf.put(kernel, namespace, usable=clean)


def keep(namespace: Namespace) -> None:
    """Keep a socket in a namespace open from its next conversation until `leave`, so that `socket_in` finds it."""
    _shelf.keep(namespace)


def close_sockets(namespace: Namespace) -> None:
    """Close what is kept open in a namespace that is to end; this may take some 10 ms for each socket."""
    for kernel in _shelf.take_all(namespace):
        kernel.close()


def leave(namespace: Namespace) -> None:
    """Have what is kept open in a namespace closed soon, by another thread: its pod is gone."""
    _shelf.leave(namespace)


def _current() -> Namespace:
    found = os.stat("/proc/thread-self/ns/net")  # noqa: PTH116 # a magic link, not a file system path
    return found.st_dev, found.st_ino
