"""A continuous stream of packets between two pods, to detect a momentary opening."""

import socket
import threading
import time
from contextlib import suppress

from mnp_core.model import ObjectName
from mnp_core.testing.sending import drops_expected
from tests.cluster.sandboxes import Sandboxes

_PAUSE = 0.0002  # seconds, so a moment of a millisecond is not missed


class Flow:
    """A stream of UDP packets, as a context manager. Arrivals are counted at its end.

    Attributes:
        sent: Packets sent.
        arrived: Packets received of these.
    """

    def __init__(self, sandboxes: Sandboxes, source: ObjectName, destination: ObjectName, address: str, port: int):
        """Send nothing yet.

        Args:
            sandboxes: Sandboxes of both pods.
            source: The sending pod.
            destination: The receiving pod.
            address: IPv4 address of the destination.
            port: An unused port of the destination.
        """
        self._receiver = sandboxes.run(destination, lambda: _bound(address, port))
        self._sender = sandboxes.run(source, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        self._target = address, port
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work)
        self.sent = self.arrived = 0

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()
        time.sleep(0.1)  # packets in flight
        self._count()
        self._sender.close()
        self._receiver.close()

    def _work(self):
        while not self._stop.is_set():
            with drops_expected():  # sendto reports an egress drop at once
                self._sender.sendto(b"?", self._target)
            self.sent += 1
            if self.sent % 100 == 0:
                self._count()
            time.sleep(_PAUSE)

    def _count(self):
        with suppress(BlockingIOError):
            while self._receiver.recv(1):
                self.arrived += 1


def _bound(address, port):
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    made.bind((address, port))
    return made
