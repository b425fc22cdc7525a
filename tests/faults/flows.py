"""Packets all the time, from processes of their own in other namespaces: denied ones and allowed ones.

A packet carries its number and the time of its start. Each packet of the allowed flow is the first of a connection, so
established connections hide nothing. Nothing waits for an answer.
"""

import mmap
import socket
import struct
import subprocess
import sys
import time
from contextlib import suppress
from functools import partial

from attrs import field, frozen

from mnp_core.sandbox.netns import run_inside

PACKET = struct.Struct("=qq")
_SO_RCVBUFFORCE = 33  # <asm-generic/socket.h>

_SENDER = """
import mmap, os, socket, struct, sys, time
path, pause, fresh, port, *targets = sys.argv[1:]
with open(path, "r+b") as file:
    shared = mmap.mmap(file.fileno(), 8)
packet, pause, number = struct.Struct("=qq"), float(pause), 0
family = lambda target: socket.AF_INET6 if ":" in target else socket.AF_INET
parent = os.getppid()
kept = {target: socket.socket(family(target), socket.SOCK_DGRAM) for target in targets}
while os.getppid() == parent:  # a killed test leaves no sender
    number += 1
    for target in targets:
        sender = socket.socket(family(target), socket.SOCK_DGRAM) if fresh == "yes" else kept[target]
        try:
            sender.sendto(packet.pack(number, time.monotonic_ns()), (target, int(port)))
        except OSError:  # dropped by the output hook, or there is no interface now
            pass
        if fresh == "yes":
            sender.close()
    struct.pack_into("=q", shared, 0, number)
    time.sleep(pause)
"""


class Flow:
    """Packets from one namespace to addresses in another."""

    def __init__(self, folder, name, source, destination, addresses, *, port, pause, fresh=False):
        self.name, self._path = name, folder / name
        self._path.write_bytes(bytes(8))
        with self._path.open("rb") as file:
            self._shared = mmap.mmap(file.fileno(), 8, access=mmap.ACCESS_READ)
        self._receivers = run_inside(destination, lambda: [_receiver(each, port) for each in addresses])
        options = [self._path, str(pause), "yes" if fresh else "no", str(port), *addresses]
        self._sender = run_inside(source, partial(subprocess.Popen, [sys.executable, "-IS", "-c", _SENDER, *options]))
        self.families = len(addresses)
        self._early = []

    @property
    def sent(self):
        """Packets sent to each address."""
        return struct.unpack("=q", self._shared[:8])[0]

    def received(self, last):
        """Number and time of the packets that have arrived since the last time, up to a number."""
        found = [*self._early, *(packet for receiver in self._receivers for packet in _read(receiver))]
        self._early = [packet for packet in found if packet[0] > last]
        return [packet for packet in found if packet[0] <= last]

    def close(self):
        self._sender.kill()
        self._sender.wait()
        for receiver in self._receivers:
            receiver.close()
        self._shared.close()


@frozen
class Seen:
    """The packets of a time.

    Attributes:
        denied: Packets sent that must not arrive.
        leaked: Packets of these that arrived.
        lost: Packets that must arrive and did not.
        last_loss: When the last one of them started, by the monotonic clock; None if none was lost.
    """

    denied: int
    leaked: dict = field(factory=dict)
    lost: int = 0
    last_loss: float | None = None


class Traffic:
    """All flows. A context manager."""

    def __init__(self, folder, web, client, stranger):
        """Prepare them; each end is a sandbox and the addresses of its pod."""
        self._denied = [
            Flow(folder, "into-web", stranger[0], *web, port=4001, pause=0.002),
            Flow(folder, "out-of-web", web[0], *stranger, port=4001, pause=0.002),
        ]
        self._allowed = Flow(folder, "allowed", client[0], *web, port=4002, pause=0.005, fresh=True)
        self._begun = self._counts()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for flow in (*self._denied, self._allowed):
            flow.close()

    def _counts(self):
        return {flow: flow.sent for flow in (*self._denied, self._allowed)}

    def begin(self):
        """Forget all until now."""
        self.end()

    def end(self):
        """The observations since `begin`."""
        before, self._begun = self._begun, self._counts()
        time.sleep(0.02)  # until the last of them has arrived
        leaked = {flow.name: len(flow.received(self._begun[flow])) for flow in self._denied}
        denied = sum((self._begun[flow] - before[flow]) * flow.families for flow in self._denied)
        return Seen(denied, {name: count for name, count in leaked.items() if count}, *self._losses(before))

    def _losses(self, before):
        arrived = {}
        for number, started in self._allowed.received(self._begun[self._allowed]):
            arrived.setdefault(number, []).append(started / 1e9)
        wanted = range(before[self._allowed] + 1, self._begun[self._allowed] + 1)
        lost = [number for number in wanted if len(arrived.get(number, ())) < self._allowed.families]
        if not lost:
            return 0, None
        later = [starts[0] for number, starts in arrived.items() if number > lost[-1]]
        return len(lost), min(later, default=time.monotonic())


def _family(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def _receiver(address, port):
    made = socket.socket(_family(address), socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    made.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 64 << 20)
    if made.family == socket.AF_INET6:
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    made.bind(("", port))
    return made


def _read(receiver):
    with suppress(BlockingIOError):
        while True:
            yield PACKET.unpack(receiver.recv(64))
