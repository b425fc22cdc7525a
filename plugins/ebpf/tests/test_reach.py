"""Packets that pass the pod's IP layer by: a virtual machine has them. By Kata's wiring, KubeVirt's, and a macvtap."""

from contextlib import ExitStack

import pytest
from attrs import evolve

from mnp_core.backend import Backends, BackendSettings
from mnp_core.discovery import compare
from mnp_core.model import Attachment, ObjectName
from mnp_core.plugins import load_plugins
from mnp_core.sandbox.links import read_links
from mnp_core.sandbox.netns import run_inside
from mnp_core.testing.hosts import FAMILIES, OTHER, PEER, POD, passes, works
from mnp_core.testing.policies import DENY, GROUP, addresses, allow, interface, isolated, only, sandbox
from mnp_ebpf import EbpfApplier, EbpfRenderer
from plugins.ebpf.tests.guests import GuestWire, kata, kubevirt, macvtap

pytestmark = pytest.mark.root
both_families = pytest.mark.parametrize("family", FAMILIES)
CLAIM = Attachment(pod=ObjectName("default", "pod"), network=ObjectName("default", "net"), interface="net1")
WEB = isolated(allow(ports=["TCP/80", "UDP/80"]))


WIRINGS = [kata, *(pytest.param(wiring, marks=pytest.mark.full) for wiring in (kubevirt, macvtap))]


@pytest.fixture(scope="module", params=WIRINGS, ids=lambda wiring: wiring.__name__)
def wire(request, attacher):
    with ExitStack() as cleanup:
        yield GuestWire(cleanup, (EbpfRenderer(), EbpfApplier(attacher)), request.param)


@both_families
def test_first_packets_are_judged_in_both_directions(wire, family):
    wire.pod.enforce(only(ingress=WEB, egress=WEB))
    assert [wire.into_pod(family, port) for port in (80, 81)] == [True, False]
    assert [wire.out_of_pod(family, port) for port in (80, 81)] == [True, False]


@both_families
def test_groups_and_blocks_mean_the_same_as_elsewhere(wire, family):
    length = {4: 32, 6: 128}[family]
    for peers, groups in (([GROUP], [addresses(GROUP, PEER[family])]), ([f"{PEER[family]}/{length}"], [])):
        wire.pod.enforce(only(ingress=isolated(allow(peers, ["UDP/1000-2000"])), groups=groups))
        assert [wire.into_pod(family, 1500, source=source) for source in (PEER, OTHER)] == [True, False]


@both_families
def test_connections_of_the_guest_work_and_outlast_a_change(wire, family):
    wire.pod.enforce(only(ingress=DENY, egress=WEB))
    went = wire.connection(wire.pod, wire.peer, 80, family)
    wire.pod.enforce(only(ingress=WEB, egress=DENY))
    came = wire.connection(wire.peer, wire.pod, 80, family)
    wire.pod.enforce(only(ingress=DENY, egress=DENY))
    assert works(*went)
    assert works(*came)
    assert not wire.into_pod(family, 82)


@both_families
def test_fragments_go_the_way_of_their_datagram(wire, family):
    wire.pod.enforce(only(ingress=WEB, egress=WEB))
    for near, source, far, target in ((wire.peer, PEER, wire.pod, POD), (wire.pod, POD, wire.peer, PEER)):
        for port in (80, 81):
            sender, receiver = near.udp(source[family]), far.udp(target[family], port)
            assert passes(sender, receiver, (target[family], port), payload=bytes(5000)) is (port == 80)


def test_what_was_denied_is_counted(wire):
    wire.pod.enforce(only(ingress=DENY))
    assert not wire.into_pod()
    assert wire.pod.counters()["Ingress", "denied"] >= 1


def test_discovery_offers_the_interface_to_this_backend(wire):
    """With the programs in place, too, which are no diversion."""
    wire.pod.enforce(only(ingress=DENY))
    found = compare(CLAIM, run_inside(wire.pod.outside, read_links)).attachment
    assert {"path": found.path, "carrier": found.carrier} == wire.pod.found


def test_beside_nftables_each_has_its_share(wire):
    """The agent's choice: nftables for the sandbox, and this backend for the interface that it does not reach."""
    run_inside(wire.pod.outside, wire.pod.applier.remove)
    if not isinstance(wire.pod.applier.attacher, type(EbpfApplier().attacher)):
        pytest.skip("the agent takes TCX on this kernel")  # and not what it takes on older ones
    path = wire.pod.found["path"]
    settings = BackendSettings(node="nftables", paths={path: "ebpf"})
    backend = Backends(load_plugins(), settings).of([evolve(CLAIM, **wire.pod.found)])
    assert backend.parts == ("nftables", "ebpf")
    rules = evolve(interface("net1", ingress=WEB, egress=DENY), **wire.pod.found)
    ruleset = backend.renderer.render(sandbox(rules, interface("net2", ingress=DENY)))
    run_inside(wire.pod.outside, lambda: backend.applier.apply(ruleset))
    assert run_inside(wire.pod.outside, lambda: backend.applier.is_in_force(ruleset))
    assert run_inside(wire.pod.outside, backend.applier.installed_paths) == {path}
    assert [wire.into_pod(port=port) for port in (80, 81)] == [True, False]
    assert not wire.out_of_pod(port=80)
    run_inside(wire.pod.outside, backend.applier.remove)
    assert wire.into_pod(port=81)
