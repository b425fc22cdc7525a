"""The judge is judged: its verdicts on an open wire and on one filtered by an independent tool."""

import subprocess
from itertools import product

import pytest

from mnp_core.sandbox.netns import run_inside
from mnp_core.testing.netns import End as Link
from mnp_core.testing.netns import private_namespace, veth_pair
from mnp_core.testing.suites.reference.naive import End
from mnp_core.testing.suites.wire.hosts import Probe, RawHosts

pytestmark = pytest.mark.root

LEFT = End("10.0.0.1", "x/left", "net1"), End("fd00::1", "x/left", "net1")
RIGHT = End("10.0.0.2", "x/right", "net1"), End("fd00::2", "x/right", "net1")


@pytest.fixture(scope="module")
def wire():
    with private_namespace() as left, private_namespace() as right:
        veth_pair(Link(left, "net1", ("10.0.0.1/24", "fd00::1/64")), Link(right, "net1", ("10.0.0.2/24", "fd00::2/64")))
        with RawHosts({"x/left": left, "x/right": right}) as hosts:
            yield right, hosts


def probes():
    pairs = [*zip(LEFT, RIGHT, strict=True), *zip(RIGHT, LEFT, strict=True), *((end, end) for end in LEFT)]
    return [Probe(*pair, protocol, port) for pair, protocol, port in product(pairs, ("TCP", "UDP", "SCTP"), (80, 81))]


def filtered(sandbox, rules):
    chain = "{ type filter hook input priority 0; }"
    script = f"add table inet t\nadd chain inet t c {chain}\nadd rule inet t c {rules}" if rules else "flush ruleset"
    run_inside(sandbox, lambda: subprocess.run(["nft", script], check=True))


def test_every_packet_arrives_on_an_open_wire(wire):
    _, hosts = wire
    assert hosts.wrong(dict.fromkeys(probes(), True)) == {}


def test_a_packet_that_should_not_have_arrived_is_named(wire):
    _, hosts = wire
    expected = {probe: probe.port == 80 for probe in probes()}
    assert hosts.wrong(expected) == {probe: True for probe in probes() if probe.port == 81}


@pytest.mark.parametrize("protocol", ["TCP", "UDP", "SCTP"])
def test_packets_dropped_by_a_filter_do_not_arrive(wire, protocol):
    sandbox, hosts = wire
    filtered(sandbox, f"iif != lo {protocol.lower()} dport 81 drop")
    try:
        dropped = {p: p[1] in RIGHT and (p.protocol, p.port) == (protocol, 81) for p in probes()}
        assert hosts.wrong({probe: not drop for probe, drop in dropped.items()}) == {}
        assert set(hosts.wrong(dict.fromkeys(probes(), True))) == {p for p, drop in dropped.items() if drop}
    finally:
        filtered(sandbox, "")


def test_packets_dropped_by_traffic_control_at_the_sender_do_not_arrive(wire):
    """The sender gets ENOBUFS: an answer, not an error."""
    sandbox, hosts = wire
    out = [probe for probe in probes() if probe.source in RIGHT and probe.destination in LEFT]
    assert hosts.wrong(dict.fromkeys(out, True)) == {}  # and the MAC addresses are known
    queue(sandbox, "add", "bfifo", "limit", "1")
    try:
        assert hosts.wrong(dict.fromkeys(out, False)) == {}
    finally:
        queue(sandbox, "del")


def queue(sandbox, *words):
    command = ["tc", "qdisc", words[0], "dev", "net1", "root", *words[1:]]
    run_inside(sandbox, lambda: subprocess.run(command, check=True))


def test_conntrack_takes_the_packets_for_valid_ones(wire):
    """Wrong checksums would make them invalid, and test another path than connections take."""
    sandbox, hosts = wire
    filtered(sandbox, "ct state invalid drop")
    try:
        assert hosts.wrong(dict.fromkeys(probes(), True)) == {}
    finally:
        filtered(sandbox, "")
