"""Be told when links or addresses in sandboxes change, without asking again and again.

A routing socket is opened inside of each sandbox and keeps belonging to it, so one thread on the host's side can listen
to all of them (rtnetlink(7), RTNLGRP_LINK and RTNLGRP_*_IFADDR). What the messages say is not looked at: they only mean
that the links have to be read again, and so a message that got lost in an overflow is one of them.
"""

import errno
import os
import select
import socket
import threading
from collections.abc import Callable, Hashable
from typing import Final, Generic, TypeVar

from mnp_core.api import Sandbox
from mnp_core.sandbox.netns import run_inside

Key = TypeVar("Key", bound=Hashable)

_GROUPS: Final = 0x1 | 0x10 | 0x100  # RTMGRP_LINK, RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR in <linux/rtnetlink.h>
_BUFFER: Final = 65536


class LinkMonitor(Generic[Key]):
    """Listens to any number of sandboxes on one thread of its own."""

    def __init__(self, changed: Callable[[Key], None]) -> None:
        """Start listening to nothing yet.

        Args:
            changed: Called on the monitor's thread with the key of a sandbox after each change in it; it must return
                soon and not raise. Changes that come close together come as few calls.
        """
        self._changed = changed
        self._lock = threading.Lock()
        self._sockets: dict[Key, tuple[Sandbox, socket.socket]] = {}
        self._keys: dict[int, Key] = {}
        self._poll = select.epoll()
        self._wake = os.eventfd(0, os.EFD_CLOEXEC)
        self._poll.register(self._wake, select.EPOLLIN)
        self._thread = threading.Thread(target=self._listen, name="link-monitor", daemon=True)
        self._thread.start()

    def watch(self, key: Key, sandbox: Sandbox) -> None:
        """Listen to a sandbox from now on; instead of another one, if the key stood for that.

        Raises:
            SandboxNotFoundError: It has gone.
            UnsupportedError: This process may not enter it.
        """
        with self._lock:
            known = self._sockets.get(key)
        if known is not None and known[0] == sandbox:
            return
        listener = run_inside(sandbox, _open)
        self.forget(key)
        with self._lock:
            self._sockets[key] = sandbox, listener
            self._keys[listener.fileno()] = key
            self._poll.register(listener.fileno(), select.EPOLLIN)

    def forget(self, key: Key) -> None:
        """Listen no longer; a key that is not known is no error."""
        with self._lock:
            _, listener = self._sockets.pop(key, (None, None))
            if listener is not None:
                del self._keys[listener.fileno()]
                self._poll.unregister(listener.fileno())
                listener.close()

    def close(self) -> None:
        """Stop listening to everything."""
        os.eventfd_write(self._wake, 1)
        self._thread.join()
        for key in tuple(self._sockets):
            self.forget(key)
        self._poll.close()
        os.close(self._wake)

    def _listen(self) -> None:
        while True:
            ready = {number for number, _ in self._poll.poll()}
            if self._wake in ready:
                return
            for key in self._drain(ready):
                self._changed(key)

    def _drain(self, ready: set[int]) -> list[Key]:
        """Take in what has come, and say from whom."""
        with self._lock:
            keys = [key for number, key in self._keys.items() if number in ready]
            for key in keys:
                _read_all(self._sockets[key][1])
        return keys


def _open() -> socket.socket:
    """A routing socket of the namespace that the thread is in."""
    listener = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE)
    listener.bind((0, _GROUPS))
    return listener


def _read_all(listener: socket.socket) -> None:
    """Empty the queue. An overflow (ENOBUFS) is a message too, and is told once."""
    while True:
        try:
            listener.recv(_BUFFER)
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise
