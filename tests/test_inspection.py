"""The links in a sandbox against the claims of network-status (S64): links as values."""

import pytest
from attrs import evolve

from mnp_core.errors import SandboxError
from mnp_core.inspection import Claimed, inspect
from mnp_core.model import Link, LinkPath, Reason, Severity
from mnp_core.testing.builders import attachment, named
from mnp_netdev import NetdevDiscoverer

MAC = "02:00:00:00:00:01"
CLAIM = evolve(attachment("a", "net", "net1", kind="bridge"), mac=MAC)
LO = Link(name="lo", index=1, loopback=True)
ETH0 = Link(name="eth0", index=2, kind="veth", parent=9, parent_inside=False)
NET1 = Link(name="net1", index=3, kind="veth", mac=MAC, parent=10, parent_inside=False)
DECOY = Link(name="net1", index=7, kind="dummy", mac=MAC)
NIC = Link(name="37a8-nic", index=3, kind="veth", mac="02:00:00:00:00:99", parent=10, parent_inside=False, master=6)
K6T = Link(name="k6t-37a8", index=6, kind="bridge")


def look(*links, claims=(CLAIM,), defaults=frozenset({"eth0"})):
    claimed = Claimed(pod=named("a"), attachments=claims, defaults=defaults)
    found = inspect(claimed, lambda: (LO, *links), {"bridge": NetdevDiscoverer()})
    return [(problem.report.reason, problem.report.severity, problem.report.message) for problem in found.problems]


def test_interface_as_claimed_is_no_problem():
    assert look(ETH0, NET1) == []
    assert look(ETH0, NET1, defaults=frozenset()) == []


def test_a_dummy_in_front_of_a_bridge_port_is_unenforceable_where_no_backend_reaches_frames():
    """S64: KubeVirt's bridge binding, also where the real interface got another MAC address."""
    ((reason, _, text),) = look(ETH0, DECOY, NIC, K6T)
    assert reason is Reason.UNENFORCEABLE
    assert "'37a8-nic' is a port of 'k6t-37a8' of kind 'bridge'" in text
    assert text.endswith("no backend reaches interfaces whose path is bridged")


def test_a_dummy_in_front_of_a_bridge_port_is_no_problem_where_a_backend_reaches_frames():
    claimed = Claimed(pod=named("a"), attachments=(CLAIM,), defaults=frozenset({"eth0"}))
    found = inspect(claimed, lambda: (LO, ETH0, DECOY, NIC, K6T), {"bridge": NetdevDiscoverer()}, lambda _: "")
    assert found.problems == ()
    assert found.outlets == frozenset()
    assert found.bindings == {CLAIM.interface: "bridge, by '37a8-nic' in 'k6t-37a8'"}
    ((path, carrier),) = [(each.path, each.carrier) for each in found.attachments]
    assert (path, carrier) == (LinkPath.BRIDGED, "37a8-nic")


def test_an_interface_that_leads_out_and_that_no_entry_claims_is_a_problem():
    ((reason, severity, text),) = look(ETH0, NET1, NIC)
    assert (reason, severity) == (Reason.UNCLAIMED_INTERFACE, Severity.PROBLEM)
    assert "'37a8-nic' of kind 'veth'" in text


def test_an_interface_that_leads_nowhere_is_a_hint_and_one_that_is_down_is_nothing():
    assert [(reason, severity) for reason, severity, _ in look(ETH0, NET1, K6T)] == [
        (Reason.UNCLAIMED_INTERFACE, Severity.HINT)
    ]
    assert look(ETH0, NET1, evolve(K6T, up=False)) == []


def test_four_thousand_interfaces_are_one_report():
    (found,) = look(ETH0, NET1, *(evolve(NIC, name=f"x{number}", index=100 + number) for number in range(4000)))
    assert "and 3996 more" in found[2]
    assert len(found[2]) < 400


def test_an_attachment_that_was_asked_for_and_is_not_there_is_not_open():
    assert look(ETH0, claims=(evolve(CLAIM, lost=True),)) == []


def test_a_type_without_a_plugin_is_looked_at_as_an_ordinary_device():
    """S64: named in network-plugins, or of unknown kind."""
    claim = evolve(CLAIM, kind="kube-ovn")
    assert look(ETH0, NET1, claims=(claim,)) == []
    ((reason, _, text),) = look(ETH0, evolve(NET1, diverted="tc takes it away"), claims=(claim,))
    assert (reason, "tc takes it away" in text) == (Reason.UNENFORCEABLE, True)


def test_a_sandbox_that_cannot_be_looked_at_may_hold_anything():
    def refuse():
        raise SandboxError("change faster than they can be read")

    found = inspect(Claimed(pod=named("a"), attachments=(CLAIM,)), refuse, {})
    assert [problem.report.reason for problem in found.problems] == [Reason.UNENFORCEABLE]
    assert found.attachments == (CLAIM,)
    assert not found.readable


@pytest.mark.parametrize("name", ["\x1b[2J", 'a"b', "x" * 15])
def test_hostile_names_are_shown_harmlessly(name):
    ((_, _, text),) = look(ETH0, NET1, evolve(NIC, name=name))
    assert text.isprintable()
