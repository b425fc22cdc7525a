"""Notifications of changes in sandboxes, without polling.

A netlink socket is opened inside of each sandbox and keeps belonging to it, so one thread on the host's side can listen
to all of them. A message, or its loss in an overflow, only triggers a new read. Its only field in use is the generation
of a commit, where the backend supports it: the agent's own commits need no read.

A socket keeps its network namespace alive. A listener has to forget a deleted sandbox, or the pod's devices stay.
"""

import errno
import logging
import os
import select
import socket
import threading
from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping
from contextlib import suppress
from enum import StrEnum
from typing import Final, Generic, TypeVar

from mnp_core.classes import frozen
from mnp_core.lasting import LastingThread

Key = TypeVar("Key", bound=Hashable)


class Topic(StrEnum):
    """The topic of a change in a sandbox."""

    LINKS = "links"  # its interfaces, or their addresses
    RULES = "rules"  # its packet filter, by any process


Listeners = Mapping[Topic, socket.socket]
GenerationReader = Callable[[bytes], int | None]
"""See `mnp_core.api.CommitAnnouncer`."""
Changed = Callable[[Key, Topic, frozenset[int] | None], None]

_log = logging.getLogger(__name__)

_GROUPS: Final = 0x1 | 0x8 | 0x10 | 0x100
"""RTMGRP_LINK, RTMGRP_TC, RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR in <linux/rtnetlink.h>."""
_BUFFER: Final = 65536
_GATHERED_MILLISECONDS: Final = 10  # of messages of many sandboxes: read one by one, they hold up whoever makes them
_AT_ONCE: Final = 256  # messages; the rest wakes the thread again


def listen_to_links() -> socket.socket:
    """Open a socket subscribed to links, addresses and traffic control (rtnetlink(7)) of the thread's namespace.

    What traffic control does with packets decides who enforces policy on them (S64), and changes no link.
    """
    listener = socket.socket(
        socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE
    )
    listener.bind((0, _GROUPS))
    return listener


class Monitor(Generic[Key]):
    """Listens to any number of sandboxes on one thread of its own."""

    def __init__(self, changed: "Changed[Key]", lost: Callable[[Key], None] = lambda _: None) -> None:
        """Start the monitor without sandboxes.

        Args:
            changed: Called on the monitor's thread after each change with the key of the sandbox, the topic, and the
                generations of the commits that were announced (None if they are not known); it must return soon and
                not raise. Changes that come close together come as few calls.
            lost: Called likewise when a sandbox cannot be listened to any more, after it was forgotten: the others
                go on.
        """
        self._changed = changed
        self._lost = lost
        self._lock = threading.Lock()
        self._listeners: defaultdict[Key, list[socket.socket]] = defaultdict(list)
        self._meaning: dict[int, _Listener[Key]] = {}
        self._poll = select.epoll()
        self._wake = os.eventfd(0, os.EFD_CLOEXEC)
        self._poll.register(self._wake, select.EPOLLIN)
        self._end = select.poll()  # of the wait for more messages
        self._end.register(self._wake, select.POLLIN)
        self.thread = LastingThread("monitor", self._listen)
        self.thread.start()

    def listen(self, key: Key, listeners: Listeners, generation_of: GenerationReader | None = None) -> None:
        """Listen to these sockets of a sandbox from now on, instead of those that the key stood for; they are ours now.

        Args:
            key: The sandbox's key in notifications.
            listeners: Non-blocking sockets that can be read when something has changed.
            generation_of: Reads the generation from a message about rules; None if messages have none.
        """
        self.forget(key)
        with self._lock:
            for topic, listener in listeners.items():
                self._listeners[key].append(listener)
                reader = generation_of if topic is Topic.RULES else None
                self._meaning[listener.fileno()] = _Listener(key, topic, listener, reader)
                self._poll.register(listener.fileno(), select.EPOLLIN)

    def forget(self, key: Key) -> None:
        """Stop listening to a sandbox; an unknown key is no error."""
        with self._lock:
            for number in [number for number, each in self._meaning.items() if each.key == key]:
                del self._meaning[number]
                with suppress(OSError):  # closed elsewhere: the kernel has forgotten it
                    self._poll.unregister(number)
            for listener in self._listeners.pop(key, ()):
                listener.close()

    def close(self) -> None:
        """Stop listening to everything."""
        os.eventfd_write(self._wake, 1)
        self.thread.join()
        for key in tuple(self._listeners):
            self.forget(key)
        self._poll.close()
        os.close(self._wake)

    def _listen(self) -> None:
        while True:
            self._poll.poll()
            if self._end.poll(_GATHERED_MILLISECONDS):
                return
            ready = [number for number, _ in self._poll.poll(0)]
            heard, broken = self._drain(ready)
            for key in broken:
                self.forget(key)
                self._lost(key)
            for each, generations in heard:
                if each.key not in broken:
                    self._announce(each, generations)

    def _announce(self, listener: "_Listener[Key]", generations: frozenset[int] | None) -> None:
        """A failure concerns one sandbox: the messages of the others are read, and would be lost."""
        try:
            self._changed(listener.key, listener.topic, generations)
        except Exception:  # noqa: BLE001 - any failure concerns this sandbox alone
            _log.exception("a change of %s in %s could not be announced", listener.topic, listener.key)
            self.forget(listener.key)
            self._lost(listener.key)

    def _drain(self, ready: list[int]) -> "tuple[list[tuple[_Listener[Key], frozenset[int] | None]], set[Key]]":
        """Read the pending messages; return their sandboxes, and those with failed sockets."""
        heard: list[tuple[_Listener[Key], frozenset[int] | None]] = []
        broken: set[Key] = set()
        with self._lock:
            for listener in [self._meaning[number] for number in ready if number in self._meaning]:
                try:
                    heard.append((listener, listener.read_all()))
                except Exception as error:  # noqa: BLE001 - messages depend on the pod's actions: the other sandboxes go on
                    _log.warning("%s of %s cannot be listened to: %s", listener.topic, listener.key, error)
                    broken.add(listener.key)
        return heard, broken


@frozen
class _Listener(Generic[Key]):
    key: Key
    topic: Topic
    socket: socket.socket
    generation_of: GenerationReader | None

    def read_all(self) -> frozenset[int] | None:
        """Empty the queue, or much of it: a pod that floods its own must not hold up the others.

        Returns:
            The generations that were announced; None if one is not known. An overflow (ENOBUFS) is such a message.
        """
        generations: set[int | None] = set()
        for _ in range(_AT_ONCE):
            try:
                message = self.socket.recv(_BUFFER)
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                generations.add(None)
            else:
                generations.add(self.generation_of(message) if self.generation_of is not None else None)
        known = frozenset(each for each in generations if each is not None)
        return known if len(known) == len(generations) else None
