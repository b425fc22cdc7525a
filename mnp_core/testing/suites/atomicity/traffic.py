"""Traffic without a pause: flows that must never get through, and one that must never lose a packet.

It runs in a process of its own, on a processor of its own, in a tight loop: one packet of each flow, then the next
round, after an optional pause. A packet between namespaces is judged by both packet filters within the call that sends
it, so a round that took less than 100 µs means that every flow was judged in these. Rounds that took longer are noted
with their time (`mnp_core.testing.suites.atomicity.rounds`), so that the test that changes policy meanwhile knows which
of the changes were watched all along.
"""

import gc
import socket
import time
from contextlib import suppress
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Event
from typing import NamedTuple

from mnp_core.api import Sandbox
from mnp_core.sandbox.netns import run_inside
from mnp_core.testing.suites.atomicity.processor import have_processor
from mnp_core.testing.suites.atomicity.rounds import Rounds
from mnp_core.testing.suites.atomicity.writer import Writer, unknown

BUFFER = 64 << 20
_SO_RCVBUFFORCE = 33  # <asm-generic/socket.h>


class Flow(NamedTuple):
    """UDP packets from an address in one namespace to an address in another."""

    name: str
    start: Sandbox
    source: str
    end: Sandbox
    destination: str
    port: int
    allowed: bool


class Traffic(NamedTuple):
    """The outcome. Times are those of the monotonic clock, in nanoseconds.

    Attributes:
        rounds: Packets sent of each flow.
        started: When.
        ended: When.
        received: Packets by flow.
        gaps: Beginning and end of the rounds that took too long; see `Rounds`.
        blind: Of these, those that may have hidden something.
        median: How long a round took, in microseconds.
    """

    rounds: int
    started: int
    ended: int
    received: dict[str, int]
    gaps: list[tuple[int, int]]
    blind: list[tuple[int, int]]
    median: int

    @property
    def seconds(self) -> float:
        return (self.ended - self.started) / 1e9


def run(
    flows: list[Flow], running: Event, stop: Event, results: Queue, pause: float = 0.0, writer: Writer | None = None
) -> None:
    """Send until stopped, with a pause (seconds) between rounds; puts a `Traffic` into the queue."""
    gc.disable()
    senders = [_sender(flow) for flow in flows]
    receivers = {flow.name: _receiver(flow) for flow in flows}
    awaiting = [(flow.name, receivers[flow.name]) for flow in flows if flow.allowed]
    received = dict.fromkeys(receivers, 0)
    sent = 0
    running.set()
    have_processor(max)
    rounds = Rounds(writer.clock() if writer else unknown)
    while not stop.is_set():
        for _ in range(1 if pause else 64):  # between two looks at the event, which costs more than a packet
            for sender in senders:
                try:
                    sender.send(b"?")
                except PermissionError:  # dropped by the output hook: send(2) fails at once
                    continue
            for name, receiver in awaiting:  # one comes, one goes: a full buffer would look like a loss
                try:
                    receiver.recv(1)
                    received[name] += 1
                except BlockingIOError:
                    continue
            sent += 1
            rounds.end()
            if pause:
                time.sleep(pause)
    time.sleep(0.2)
    received = {name: received[name] + _count(receiver) for name, receiver in receivers.items()}
    results.put(Traffic(sent, rounds.started, rounds.last, received, rounds.gaps, rounds.blind, rounds.median))


def _sender(flow: Flow) -> socket.socket:
    def connect() -> socket.socket:
        made = socket.socket(_family(flow.source), socket.SOCK_DGRAM)
        made.bind((flow.source, 0))
        made.connect((flow.destination, flow.port))
        return made

    return run_inside(flow.start, connect)


def _receiver(flow: Flow) -> socket.socket:
    def listen() -> socket.socket:
        made = socket.socket(_family(flow.source), socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        made.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, BUFFER)
        made.bind((flow.destination, flow.port))
        return made

    return run_inside(flow.end, listen)


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def _count(receiver: socket.socket) -> int:
    count = 0
    with suppress(BlockingIOError):
        while receiver.recv(1):
            count += 1
    return count
