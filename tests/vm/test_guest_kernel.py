"""A guest with a kernel of its own behind a bridged interface: what the pod's policy means for it, by its packets.

By the backend that the agent chooses: here by programs at the interface, in the machine of `make test-vm` in nftables'
family ``bridge``.
"""

import platform
import socket
from contextlib import ExitStack, suppress

import pytest
from attrs import evolve

from mnp_core.backend import Backends, BackendSettings
from mnp_core.discovery import compare
from mnp_core.model import Attachment, LinkPath, ObjectName
from mnp_core.plugins import load_plugins
from mnp_core.sandbox.links import read_links
from mnp_core.sandbox.netns import run_inside
from mnp_core.testing.hosts import FAMILIES, OTHER, PEER, POD, Host
from mnp_core.testing.netns import End, configure, port_of, private_namespace, veth_pair
from mnp_core.testing.policies import DENY, allow, isolated, only
from mnp_core.testing.wiring import take_over
from tests.vm.guest_kernel import GuestKernel
from tests.vm.tap import open_tap

pytestmark = [
    pytest.mark.root,
    pytest.mark.long,
    pytest.mark.timeout(600),
    pytest.mark.skipif(platform.machine() != "x86_64", reason="the guest's kernel is for x86_64"),
]
CLAIM = Attachment(pod=ObjectName("a", "pod"), network=ObjectName("a", "net"), interface="net1")
LENGTHS = {4: 24, 6: 64}
PATIENCE = 3.0  # seconds; the emulated kernel answers within 0.1 on an idle machine
WEB = isolated(allow(ports=["TCP/80", "UDP/80"]))


def networks(*ends):
    return tuple(f"{end[family]}/{length}" for end in ends for family, length in LENGTHS.items())


class Machine:
    """A pod with a guest, a peer, and the backend of the agent's choice."""

    def __init__(self, cleanup, folder):
        self.pod = cleanup.enter_context(private_namespace())
        self.peer = Host(cleanup.enter_context(private_namespace()), cleanup)
        veth_pair(End(self.pod, "net1"), End(self.peer.sandbox, "out", networks(PEER, OTHER)))
        taken = take_over(self.pod, "net1")
        tap = run_inside(self.pod, lambda: open_tap(taken.tap.name))
        port_of(taken.tap, taken.bridge)
        self.guest = cleanup.enter_context(GuestKernel(folder, tap, taken.mac, networks(POD)))
        configure(taken.tap)
        self.found = compare(CLAIM, run_inside(self.pod, read_links)).attachment
        self.backend = Backends(load_plugins(), BackendSettings()).of([self.found])

    def enforce(self, **directions):
        policy = only(**directions)
        bridged = (evolve(each, path=self.found.path, carrier=self.found.carrier) for each in policy.interfaces)
        ruleset = self.backend.renderer.render(evolve(policy, interfaces=tuple(bridged)))
        run_inside(self.pod, lambda: self.backend.applier.apply(ruleset))

    def web(self, family, port=80):
        """A connection to the guest, with half a request sent; None if there is none."""
        client = self.peer.socket(socket.AF_INET6 if family == 6 else socket.AF_INET, socket.SOCK_STREAM)
        client.settimeout(PATIENCE)
        try:
            client.connect((POD[family], port))
        except TimeoutError:
            return None
        client.sendall(b"GET / HTTP/1.0\r\n")
        return client

    def reaches_udp(self, family, port):
        """Whether the guest's kernel says that nobody listens there."""
        client = self.peer.socket(socket.AF_INET6 if family == 6 else socket.AF_INET, socket.SOCK_DGRAM)
        client.settimeout(PATIENCE)
        client.connect((POD[family], port))
        client.send(b"?")
        with suppress(TimeoutError):
            try:
                client.recv(1)
            except ConnectionRefusedError:
                return True
        return False

    def pings(self, address):
        """Whether the guest gets an answer from an address."""
        return self.guest.does(f"ping -c 1 -W 3 {address}")


def answers(client):
    """Whether the rest of a request gets the answer."""
    client.sendall(b"\r\n")
    with suppress(TimeoutError):
        return client.recv(4096).startswith(b"HTTP/1")
    return False


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    obstacle = Backends(load_plugins(), BackendSettings()).obstacle((), LinkPath.BRIDGED)
    if obstacle:
        pytest.skip(f"bridged interfaces are enforced by no backend here: {obstacle}")
    with ExitStack() as cleanup:
        machine = Machine(cleanup, tmp_path_factory.mktemp("guest"))
        assert machine.found.path is LinkPath.BRIDGED
        for family in FAMILIES:
            assert machine.pings(PEER[family]), "without policy"
        yield machine


@pytest.mark.parametrize("family", FAMILIES)
def test_ingress_is_what_rules_allow(machine, family, record_property):
    """S11, S30, S40: answers pass where egress is isolated, ICMP errors about allowed packets too."""
    record_property("mnp_backend", machine.backend.name)
    machine.enforce(ingress=WEB, egress=DENY)
    assert answers(machine.web(family, 80))
    assert machine.web(family, 81) is None
    assert machine.reaches_udp(family, 80)
    assert not machine.reaches_udp(family, 82)
    assert not machine.pings(PEER[family])


@pytest.mark.parametrize("family", FAMILIES)
def test_egress_is_what_rules_allow(machine, family):
    """S11, S23, S43: neighbour discovery and ARP pass."""
    length = {4: 32, 6: 128}[family]
    machine.enforce(ingress=DENY, egress=isolated(allow([f"{OTHER[family]}/{length}"])))
    assert machine.pings(OTHER[family])
    assert not machine.pings(PEER[family])
    assert machine.web(family, 80) is None


@pytest.mark.parametrize("family", FAMILIES)
def test_an_established_connection_outlasts_a_change(machine, family):
    """S42."""
    machine.enforce(ingress=WEB, egress=DENY)
    client = machine.web(family)
    machine.enforce(ingress=DENY, egress=DENY)
    assert answers(client)
    assert machine.web(family) is None


def test_nothing_is_left_of_the_rules(machine):
    machine.enforce(ingress=DENY, egress=DENY)
    assert not machine.pings(PEER[4])
    run_inside(machine.pod, machine.backend.applier.remove)
    assert machine.pings(PEER[4])
