"""A pod, its neighbours, and packets between them."""

import json
import socket
import subprocess
import time
from contextlib import suppress
from functools import partial

from pyroute2 import IPRoute

from mnp_core.model import GroupDelta
from mnp_core.sandbox.netns import run_inside
from mnp_core.testing.netns import End, private_namespace, veth_pair
from mnp_nftables import NftablesApplier, NftablesRenderer

SOON = 3.0  # seconds for a connection, on however slow a machine
QUIET = 0.25  # seconds after which what has not arrived will not: a veth takes microseconds

POD = {4: "10.0.0.1", 6: "fd00::1"}
PEER = {4: "10.0.0.2", 6: "fd00::2"}
OTHER = {4: "10.0.0.3", 6: "fd00::3"}
FAMILIES = (4, 6)


def af(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


class Host:
    """A network namespace, with sockets that are closed when the test ends."""

    def __init__(self, sandbox, cleanup):
        self.sandbox = sandbox
        self._cleanup = cleanup
        self._bound = {}

    def run(self, work):
        return run_inside(self.sandbox, work)

    def socket(self, family, kind, protocol=0):
        made = self.run(lambda: socket.socket(family, kind, protocol))
        made.settimeout(SOON)
        return self._cleanup.enter_context(made)

    def udp(self, address, port=0):
        """A datagram socket; a new one, unless the port is asked for again."""
        if port and (address, port) in self._bound:
            return self._bound[address, port]
        made = self._bound[address, port] = self.socket(af(address), socket.SOCK_DGRAM)
        made.bind((address, port))
        return made

    def listener(self, address, port):
        made = self.socket(af(address), socket.SOCK_STREAM)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((address, port))
        made.listen()
        return made

    def raw(self, family, protocol):
        return self.socket({4: socket.AF_INET, 6: socket.AF_INET6}[family], socket.SOCK_RAW, protocol)

    def nft(self, commands):
        """Run the nft program, as a user or another program in the pod would."""
        return self._program("nft", "-a", "-f", "-", commands=commands)

    def objects(self):
        """Everything that is in the packet filter, as nft lists it in JSON."""
        return json.loads(self._program("nft", "-j", "list", "ruleset"))["nftables"]

    def _program(self, *command, commands=""):
        done = self.run(partial(subprocess.run, command, input=commands, text=True, capture_output=True))
        assert not done.returncode, done.stderr
        return done.stdout

    def route(self, *gateways):
        """Default routes."""

        def add():
            with IPRoute() as kernel:
                for gateway in gateways:
                    kernel.route("add", dst="::/0" if ":" in gateway else "0.0.0.0/0", gateway=gateway)

        self.run(add)

    def sysctl(self, name, value):
        def write():
            with open(f"/proc/sys/net/{name}", "w") as file:  # noqa: PTH123 # no path: it depends on the namespace
                file.write(value)

        self.run(write)


class PolicedHost(Host):
    """A pod, on which policy is enforced."""

    def enforce(self, policy):
        ruleset = NftablesRenderer().render(policy)
        self.run(lambda: NftablesApplier().apply(ruleset))
        return ruleset

    def regroup(self, before, after):
        delta = NftablesRenderer().render_delta(GroupDelta(before=before, after=after))
        self.run(lambda: NftablesApplier().update(delta))

    def counters(self):
        """Packets by label, over all rules."""
        found = {}
        for counter in self.run(NftablesApplier().counters):
            found[counter.label] = found.get(counter.label, 0) + counter.packets
        return found


class Wire:
    """``pod`` has ``net1``, on the other side of which ``peer`` has two addresses of each family."""

    def __init__(self, cleanup):
        self._cleanup = cleanup
        self.pod = PolicedHost(cleanup.enter_context(private_namespace()), cleanup)
        self.peer = Host(cleanup.enter_context(private_namespace()), cleanup)
        inside = tuple(f"{address}/24" if family == 4 else f"{address}/64" for family, address in POD.items())
        outside = tuple(f"{own[f]}/{24 if f == 4 else 64}" for own in (PEER, OTHER) for f in FAMILIES)
        veth_pair(End(self.pod.sandbox, "net1", inside), End(self.peer.sandbox, "out", outside))

    def datagram(self, source, target):
        """Whether a datagram gets from one socket to the other."""
        return passes(source, target, target.getsockname()[:2])

    def into_pod(self, family=4, port=80, *, source=PEER):
        """Whether the first datagram of a flow gets into the pod."""
        return self.datagram(self.peer.udp(source[family]), self.pod.udp(POD[family], port))

    def out_of_pod(self, family=4, port=80, *, target=PEER):
        """Whether the first datagram of a flow gets out of the pod."""
        return self.datagram(self.pod.udp(POD[family]), self.peer.udp(target[family], port))

    def connection(self, client, server, port, family=4, *, source="", target=""):
        """An established TCP connection: the client's socket and the server's."""
        pair = {self.pod: POD, self.peer: PEER}
        listener = server.listener(target or pair[server][family], port)
        near = client.socket(af(listener.getsockname()[0]), socket.SOCK_STREAM)
        near.bind((source or pair[client][family], 0))
        near.connect(listener.getsockname()[:2])
        far = self._cleanup.enter_context(listener.accept()[0])
        far.settimeout(SOON)
        listener.close()
        return near, far


_number = iter(range(1, 1 << 62))


def passes(source, target, address, *, payload=b""):
    """Whether a packet from one socket gets to the other."""
    token = b"%020d" % next(_number) + payload
    try:
        source.sendto(token, address)
    except PermissionError:
        return False  # dropped in the output hook: the sender is told
    return arrives(target, token)


def arrives(target, token):
    """Whether something with this token in it gets to a socket."""
    until = time.monotonic() + QUIET
    while (left := until - time.monotonic()) > 0:
        target.settimeout(left)
        with suppress(TimeoutError):
            if token in target.recv(1 << 16):
                return True
    return False


def works(near, far):
    """Whether a connection still carries data both ways."""
    return all(_carries(*ends) for ends in ((near, far), (far, near)))


def _carries(source, target):
    token = b"%020d" % next(_number)
    source.sendall(token)
    target.settimeout(QUIET)
    try:
        return target.recv(1 << 16).endswith(token)
    except TimeoutError:
        return False
