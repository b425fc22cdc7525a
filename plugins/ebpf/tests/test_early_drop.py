"""The early stage: it drops what would be dropped, and nothing else."""

import pytest

from mnp_core.model import EarlyDrop
from mnp_core.sandbox.links import read_links
from mnp_core.testing.hosts import FAMILIES, PEER, POD, works
from mnp_core.testing.policies import DENY, allow, isolated, only
from mnp_ebpf import xdp
from mnp_ebpf.hooks import links

pytestmark = pytest.mark.root
both_families = pytest.mark.parametrize("family", FAMILIES)
everywhere = pytest.mark.parametrize(
    "where", [EarlyDrop.NATIVE, pytest.param(EarlyDrop.GENERIC, marks=pytest.mark.full)]
)
WEB = isolated(allow(ports=["TCP/80", "UDP/80"]))


def stage(wire):
    """Where our program of XDP is."""
    return wire.pod.run(lambda: xdp.attached(links()["net1"])[1])


@both_families
@everywhere
def test_verdicts_are_the_same(wire, family, where):
    wire.pod.enforce(only(ingress=WEB, egress=isolated(allow(ports=["UDP/80"])), early_drop=where))
    assert stage(wire) is where
    assert [wire.into_pod(family, port) for port in (80, 81)] == [True, False]
    assert [wire.out_of_pod(family, port) for port in (80, 81)] == [True, False]
    assert works(*wire.connection(wire.peer, wire.pod, 80, family))


@both_families
@everywhere
def test_replies_and_errors_pass(wire, family, where):
    wire.pod.enforce(only(ingress=DENY, early_drop=where))
    assert works(*wire.connection(wire.pod, wire.peer, 80, family))
    server, client = wire.peer.udp(PEER[family], 53), wire.pod.udp(POD[family])
    client.sendto(b"a question", (PEER[family], 53))
    server.sendto(b"an answer", (POD[family], client.getsockname()[1]))
    assert client.recv(100) == b"an answer"
    assert wire.gets_port_unreachable(family)


def test_denied_packets_are_counted_there(wire):
    wire.pod.enforce(only(ingress=DENY, early_drop=EarlyDrop.NATIVE))
    before = wire.pod.counters()["denied"]
    for _ in range(10):
        wire.peer.udp(PEER[4]).sendto(b"denied", (POD[4], 80))
    assert not wire.into_pod()
    assert wire.pod.counters()["denied"] >= before + 10


def test_it_is_there_only_where_it_is_wanted(wire):
    for policy, expected in (
        (only(ingress=DENY, early_drop=EarlyDrop.NATIVE), EarlyDrop.NATIVE),
        (only(ingress=DENY, early_drop=EarlyDrop.GENERIC), EarlyDrop.GENERIC),
        (only(egress=DENY, early_drop=EarlyDrop.GENERIC), EarlyDrop.OFF),
        (only(ingress=DENY, early_drop=EarlyDrop.NATIVE), EarlyDrop.NATIVE),
        (only(ingress=DENY), EarlyDrop.OFF),
    ):
        wire.pod.enforce(policy)
        assert stage(wire) is expected
    wire.pod.enforce(only(ingress=DENY, early_drop=EarlyDrop.NATIVE))
    assert [link.diverted for link in wire.pod.run(read_links)] == [""] * 2, "it diverts nothing"
    wire.pod.run(wire.pod.applier.remove)
    assert stage(wire) is EarlyDrop.OFF
    assert wire.into_pod()
