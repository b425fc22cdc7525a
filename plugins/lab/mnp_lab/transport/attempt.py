"""A probe under way."""

import errno
import os
import selectors
import time
from collections.abc import Callable
from socket import SocketType

from mnp_core.offline.probe import Probe, ProbeResult, ProbeVerdict

SENDING_TRIES = 20
"""How many source ports are tried before a probe is given up."""


class Loop:
    """An event loop: calls back when a socket is ready."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()

    def watch(self, sock: SocketType, events: int, callback: Callable[[], None]) -> None:
        """Call back whenever the socket is ready."""
        self._selector.register(sock, events, callback)

    def forget(self, sock: SocketType) -> None:
        """Stop calling back. A socket that is not watched, or already closed, is no error."""
        if sock.fileno() >= 0 and sock in self._selector.get_map():
            self._selector.unregister(sock)

    def poll(self, seconds: float) -> bool:
        """Wait for events until the timeout, and handle them; return whether there were any."""
        events = self._selector.select(max(0.0, seconds))
        for key, _ in events:
            if key.fd in self._selector.get_map():  # an earlier callback may have closed it
                key.data()
        return bool(events)

    def close(self) -> None:
        """Close the selector."""
        self._selector.close()


class ProbeAttempt:
    """One probe from its launch until its result. Subclasses send and listen; the first result counts."""

    def __init__(self, probe: Probe, loop: Loop) -> None:
        self.probe = probe
        self.loop = loop
        self.result: ProbeResult | None = None
        self.unsent = ""  # why the last packet did not leave the source, for silence to be explained by
        self._launched = 0.0

    def start(self) -> None:
        """Send the first packet. An error becomes the result."""
        self._launched = time.monotonic()
        self._try(self.send_first)

    def resend(self) -> None:
        """Resend the packet."""
        self._try(self.ask)

    def send_first(self) -> None:
        """Send the first packet; may raise OSError."""
        self.ask()

    def ask(self) -> None:
        """Send the packet, where the kernel does not resend it by itself; may raise OSError."""

    def close(self) -> None:
        """Release the attempt's own resources."""

    def resolve(self, verdict: ProbeVerdict, detail: str = "") -> None:
        """Note the answer; the first one counts."""
        if self.result is None:
            seconds = time.monotonic() - self._launched if self._launched else 0.0
            self.result = ProbeResult(probe=self.probe, verdict=verdict, seconds=seconds, detail=detail)

    def _try(self, send: Callable[[], None]) -> None:
        self.unsent = ""
        try:
            send()
        except OSError as error:
            self.fail(error)

    def fail(self, error: OSError) -> None:
        """Map an error of the kernel to a result.

        ENOBUFS alone is not final: it is the return value of traffic control for a dropped packet (net_xmit_errno), and
        of a queue that was full for a moment. Sending is retried, and if no packet ever gets out, that is a denial.
        """
        if error.errno == errno.ENOBUFS:
            self.unsent = "dropped by traffic control on its way out of the source"
        elif error.errno == errno.EPERM:  # of netfilter's output hook for a dropped packet
            self.resolve(ProbeVerdict.DENIED, "dropped on its way out of the source")
        elif error.errno == errno.ECONNREFUSED:
            self.resolve(ProbeVerdict.REFUSED)
        else:
            self.resolve(ProbeVerdict.ERROR, os.strerror(error.errno or 0))
