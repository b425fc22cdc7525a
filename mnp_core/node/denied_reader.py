"""Reads the packets that rules have logged, in any number of sandboxes, on one thread.

A pod with NET_ADMIN can write to our group as fast as it can send, with any prefix. So each pod has a limit of its own
here, beside that of the rules: one that exceeds it is left alone for a moment, while the kernel drops its messages.

A socket keeps its network namespace alive: a sandbox that has ended has to be forgotten.
"""

import errno
import logging
import os
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Final

from mnp_core.classes import define
from mnp_core.lasting import LastingThread
from mnp_core.model import DeniedLog, ObjectName
from mnp_core.netfilter.nflog import Logged, read_packets
from mnp_core.telemetry.events.bucket import TokenBucket

_AT_ONCE: Final = 64  # messages of one pod, until the others have their turn
_PAUSE_SECONDS: Final = 0.1  # of a pod over its limit

_log = logging.getLogger(__name__)


@define
class _Reader:
    pod: ObjectName
    socket: socket.socket
    bucket: TokenBucket
    paused_until: float = 0.0


class DeniedReader:
    """Reads one socket for each pod. Thread safe."""

    def __init__(self, limits: DeniedLog, logged: Callable[[ObjectName, Logged], None]) -> None:
        """Start without sandboxes.

        Args:
            limits: Rate and burst that hold for each pod as a whole.
            logged: Called on the reader's thread with each packet within the limits; it must return soon.
        """
        self._limits = limits
        self._logged = logged
        self._lock = threading.Lock()  # guards the next two
        self._by_pod: dict[ObjectName, _Reader] = {}
        self._by_number: dict[int, _Reader] = {}
        self._paused: list[_Reader] = []  # the thread's own
        self._poll = select.epoll()
        self._wake = os.eventfd(0, os.EFD_CLOEXEC)
        self._poll.register(self._wake, select.EPOLLIN)
        self.thread = LastingThread("denied-packets", self._read)
        self.thread.start()

    def listen(self, pod: ObjectName, opened: socket.socket) -> None:
        """Read this socket for a pod from now on, instead of the one before; it is ours now."""
        self.forget(pod)
        limits = self._limits
        bucket = TokenBucket(rate=limits.rate, burst=limits.burst, now=time.monotonic())
        with self._lock:
            reader = _Reader(pod=pod, socket=opened, bucket=bucket)
            self._by_pod[pod] = self._by_number[opened.fileno()] = reader
            self._poll.register(opened.fileno(), select.EPOLLIN)

    def forget(self, pod: ObjectName) -> None:
        """Stop reading for a pod; an unknown one is no error."""
        with self._lock:
            reader = self._by_pod.pop(pod, None)
            if reader is None:
                return
            self._by_number.pop(reader.socket.fileno(), None)
            with suppress(OSError):  # not registered while it pauses
                self._poll.unregister(reader.socket.fileno())
            reader.socket.close()

    @property
    def pods(self) -> frozenset[ObjectName]:
        """The pods that are read."""
        with self._lock:
            return frozenset(self._by_pod)

    def close(self) -> None:
        """Stop reading; once more has no effect."""
        if self._poll.closed:
            return
        os.eventfd_write(self._wake, 1)
        self.thread.join()
        for pod in self.pods:
            self.forget(pod)
        self._poll.close()
        os.close(self._wake)

    def _read(self) -> None:
        while True:
            ready = [number for number, _ in self._poll.poll(_PAUSE_SECONDS if self._paused else None)]
            if self._wake in ready:
                return
            for pod, packet in [found for number in ready for found in self._drain(number)]:
                try:
                    self._logged(pod, packet)
                except Exception:  # noqa: BLE001 - any failure concerns this packet alone
                    _log.exception("a denied packet of %s cannot be logged", pod)
            self._resume()

    def _drain(self, number: int) -> Iterator[tuple[ObjectName, Logged]]:
        """The pending packets of one socket within its limit."""
        with self._lock:
            reader = self._by_number.get(number)
            if reader is None:
                return
            try:
                yield from [(reader.pod, packet) for packet in self._within_limit(reader)]
            except OSError as error:
                _log.warning("denied packets of %s cannot be read any more: %s", reader.pod, error)
                self._by_number.pop(number)  # `pods` names it still: it is not opened again and again
                self._poll.unregister(number)

    def _within_limit(self, reader: _Reader) -> Iterator[Logged]:
        is_over = False
        for _ in range(_AT_ONCE):
            try:
                packets = read_packets(reader.socket)
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                continue  # some were lost, the socket goes on
            if packets is None:
                break
            for packet in packets:
                if reader.bucket.take(time.monotonic()):
                    yield packet
                else:
                    is_over = True  # left out, so that later packets are not logged late
        else:
            is_over = True
        if is_over:
            self._pause(reader)

    def _pause(self, reader: _Reader) -> None:
        reader.paused_until = time.monotonic() + _PAUSE_SECONDS
        self._poll.unregister(reader.socket.fileno())
        self._paused.append(reader)

    def _resume(self) -> None:
        """Read pods again whose pause is over."""
        now, waiting = time.monotonic(), self._paused
        self._paused = [reader for reader in waiting if reader.paused_until > now]
        with self._lock:
            for reader in waiting:
                if reader.paused_until <= now and self._by_pod.get(reader.pod) is reader:
                    self._poll.register(reader.socket.fileno(), select.EPOLLIN)
