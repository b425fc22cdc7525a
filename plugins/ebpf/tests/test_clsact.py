"""Filters of traffic control beside those of others, and Kata's above all (Linux before 6.6)."""

import json
import subprocess
from itertools import pairwise

import pytest
from attrs import evolve

from mnp_core.errors import ApplyError
from mnp_core.model import LinkPath
from mnp_core.sandbox.netns import run_inside
from mnp_core.testing.hosts import EnforcedHost
from mnp_core.testing.netns import End, private_namespace, veth_pair
from mnp_core.testing.policies import DENY, allow, interface, isolated, only, sandbox
from mnp_ebpf import EbpfApplier, EbpfRenderer
from mnp_ebpf.clsact import Clsact
from mnp_ebpf.hooks import links
from plugins.ebpf.tests.guests import GuestWire, kata, run
from plugins.ebpf.tests.theirs import put_first

pytestmark = pytest.mark.root
WEB = isolated(allow(ports=["UDP/80"]))
THEIRS = "filter add dev {} ingress protocol ip pref 9 u32 match u8 0 0 flowid ffff:1"


@pytest.fixture
def attacher():
    return Clsact()


@pytest.fixture
def guest(cleanup, attacher):
    """A virtual machine as Kata wires it."""
    return GuestWire(cleanup, (EbpfRenderer(), EbpfApplier(attacher)), kata)


def tc(pod, *commands):
    """Run tc in a namespace."""
    for command in commands:
        run_inside(pod, lambda command=command: run(f"tc {command}"))


def qdiscs(pod):
    """Those with filters, by interface."""
    command = ["tc", "-json", "qdisc", "show"]
    done = run_inside(pod, lambda: subprocess.run(command, check=True, capture_output=True, text=True))
    return {each["dev"]: each["kind"] for each in json.loads(done.stdout) if each["kind"] in {"ingress", "clsact"}}


def filters(pod, name):
    """Preferences of the filters in front of what an interface receives."""
    command = f"tc -json filter show dev {name} parent ffff:fff2".split()
    done = run_inside(pod, lambda: subprocess.run(command, check=True, capture_output=True, text=True))
    return [*dict.fromkeys(each["pref"] for each in json.loads(done.stdout) if "options" in each)]


def in_force(host, ruleset, pod=None):
    found = run_inside(pod or host.sandbox, host.applier.installed)
    return found is not None and found.matches(ruleset)


# --- whose qdisc it is ------------------------------------------------------------------------------------------------


def test_a_guest_can_be_wired_later_where_no_rules_are(wire):
    """Kata adds `ingress` after the pod's interfaces are there, and gives the pod up if there is `clsact`."""
    with private_namespace() as far:
        veth_pair(End(wire.pod.sandbox, "net2"), End(far, "far"))
        beside = evolve(interface("net1", ingress=DENY), path=LinkPath.REDIRECTED, carrier="net1")
        wire.pod.enforce(sandbox(beside))
        assert qdiscs(wire.pod.sandbox) == {"lo": "clsact", "net1": "clsact"}
        tc(wire.pod.sandbox, "qdisc add dev net2 ingress")
        ruleset = wire.pod.enforce(sandbox(beside))
        assert filters(wire.pod.sandbox, "net2") == [1]
        assert in_force(wire.pod, ruleset)
        wire.pod.run(wire.pod.applier.remove)
        assert qdiscs(wire.pod.sandbox) == {"net2": "ingress"}


def test_where_a_setting_names_the_backend_all_interfaces_note_connections(wire):
    """S40: replies may take another way; the setting says that nobody wires a guest there."""
    with private_namespace() as far:
        veth_pair(End(wire.pod.sandbox, "net2"), End(far, "far"))
        wire.pod.enforce(only(ingress=DENY))
        assert qdiscs(wire.pod.sandbox) == dict.fromkeys(("lo", "net1", "net2"), "clsact")
        wire.pod.run(wire.pod.applier.remove)
        assert qdiscs(wire.pod.sandbox) == {}


@pytest.mark.parametrize("before", [True, False])
def test_filters_of_others_stay_and_so_does_their_qdisc(wire, before):
    pod, theirs = wire.pod.sandbox, ["qdisc add dev net1 clsact", THEIRS.format("net1")]
    if before:
        tc(pod, *theirs)
    wire.pod.enforce(only(ingress=WEB, egress=WEB))
    if not before:
        tc(pod, theirs[1])
    assert filters(pod, "net1") == [1, 9]
    assert [wire.into_pod(port=port) for port in (80, 81)] == [True, False]
    wire.pod.run(wire.pod.applier.remove)
    assert qdiscs(pod) == {"net1": "clsact"}
    assert filters(pod, "net1") == [9]
    assert wire.into_pod(port=81)


def test_an_empty_qdisc_of_others_stays(wire):
    tc(wire.pod.sandbox, "qdisc add dev net1 clsact")
    wire.pod.enforce(only(ingress=WEB))
    wire.pod.run(wire.pod.applier.remove)
    assert qdiscs(wire.pod.sandbox) == {"net1": "clsact"}


def test_cleaning_up_leaves_the_wiring_of_a_guest(guest):
    pod = guest.pod.outside
    before = [filters(pod, name) for name in ("net1", "tap0_kata")]
    guest.pod.enforce(only(ingress=WEB, egress=WEB))
    assert [filters(pod, name) for name in ("net1", "tap0_kata")] == [[1, *each] for each in before]
    run_inside(pod, guest.pod.applier.remove)
    assert [filters(pod, name) for name in ("net1", "tap0_kata")] == before
    assert qdiscs(pod) == {"net1": "ingress", "tap0_kata": "ingress"}
    assert guest.into_pod(port=81)


# --- drift ------------------------------------------------------------------------------------------------------------

CHANGES = {
    "a filter is gone": ["filter del dev {} parent ffff:fff2 pref 1"],
    "all filters are gone": ["filter del dev {} parent ffff:fff2"],
    "the qdisc is gone": ["qdisc del dev {} {}"],
}


@pytest.mark.parametrize("name", ["net1", "tap0_kata"])
def test_a_filter_that_somebody_removes_at_a_guest_shows_and_comes_back(guest, name):
    pod, policy = guest.pod.outside, only(ingress=WEB, egress=WEB)
    ruleset = guest.pod.enforce(policy)
    assert in_force(guest.pod, ruleset, pod)
    before = run_inside(pod, guest.pod.applier.quick_generation)
    tc(pod, f"filter del dev {name} parent ffff: pref 1")
    assert run_inside(pod, guest.pod.applier.quick_generation) != before
    assert not in_force(guest.pod, ruleset, pod)
    guest.pod.enforce(policy)
    assert in_force(guest.pod, ruleset, pod)
    assert [guest.into_pod(port=port) for port in (80, 81)] == [True, False]
    assert [guest.out_of_pod(port=port) for port in (80, 81)] == [True, False]


def test_a_program_of_others_at_a_guest_is_refused_until_it_has_gone(guest):
    """It may send packets out of the interface, where no hook shows them."""
    pod, policy = guest.pod.outside, only(ingress=WEB, egress=WEB)
    ruleset = guest.pod.enforce(policy)
    run_inside(pod, lambda: put_first(Clsact(), "theirs", index=links()["tap0_kata"]))
    assert not in_force(guest.pod, ruleset, pod)
    with pytest.raises(ApplyError, match="a BPF program of others"):
        guest.pod.enforce(policy)
    assert [guest.out_of_pod(port=port) for port in (80, 81)] == [True, False], "the rules are those of before"
    tc(pod, "filter del dev tap0_kata parent ffff: pref 1")
    guest.pod.enforce(policy)
    assert in_force(guest.pod, ruleset, pod)


@pytest.mark.parametrize("change", CHANGES)
def test_what_somebody_removes_shows_and_comes_back(wire, change):
    policy = only(ingress=WEB, egress=WEB)
    ruleset = wire.pod.enforce(policy)
    tc(wire.pod.sandbox, *(command.format("net1", "clsact") for command in CHANGES[change]))
    assert wire.into_pod(port=81), "nothing was changed"
    assert not in_force(wire.pod, ruleset)
    wire.pod.enforce(policy)
    assert in_force(wire.pod, ruleset)
    assert [wire.into_pod(port=port) for port in (80, 81)] == [True, False]


def test_packets_are_not_seen_twice_nor_open_while_another_filter_is_overtaken(guest):
    """The new filter is there before the old one goes: each packet is counted once."""
    guest.pod.enforce(only(ingress=WEB))
    run_inside(guest.pod.outside, lambda: put_first(Clsact(), "theirs", index=links()["net1"]))
    guest.pod.enforce(only(ingress=WEB))
    counts = [guest.pod.counters()["Ingress", "denied"]]
    for _ in range(5):
        assert not guest.into_pod(port=81)
        counts.append(guest.pod.counters()["Ingress", "denied"])
    # the least: an interface's first questions for routers and reports of its groups are denied and counted, too
    assert min(after - before for before, after in pairwise(counts)) == 1


# --- when the guest is wired ------------------------------------------------------------------------------------------


def test_a_redirect_that_comes_later_is_no_drift_and_gets_its_rules(guest):
    """Kata adds one filter after the other, and the agent may look between them."""
    pod, policy = guest.pod.outside, only(ingress=WEB, egress=WEB)
    tc(pod, "filter del dev tap0_kata parent ffff:")
    ruleset = guest.pod.enforce(policy)
    assert in_force(guest.pod, ruleset, pod)
    action = "u32 match u8 0 0 action mirred egress redirect dev net1"
    tc(pod, f"filter add dev tap0_kata parent ffff: protocol all {action}")
    found = run_inside(pod, guest.pod.applier.installed)
    assert found.incomplete
    assert found.is_of(ruleset)
    guest.pod.enforce(policy)
    assert in_force(guest.pod, ruleset, pod)
    assert [guest.out_of_pod(port=port) for port in (80, 81)] == [True, False]


# --- what is refused --------------------------------------------------------------------------------------------------

REFUSED = {
    "nothing is redirected": ["qdisc add dev net1 ingress"],
    "elsewhere than the ingress": [
        "qdisc add dev net1 ingress",
        "qdisc add dev net2 clsact",
        "filter add dev net2 egress protocol all u32 match u8 0 0 action mirred egress redirect dev net1",
    ],
    "a BPF program of others": [
        "qdisc add dev net1 ingress",
        "qdisc add dev net2 clsact",
        "filter add dev net2 ingress protocol all u32 match u8 0 0 action mirred egress redirect dev net1",
    ],
    "in a block that other interfaces may share": ["qdisc add dev net1 ingress_block 1 clsact"],
    "'u32' has preference 1": ["qdisc add dev net1 clsact", THEIRS.format("net1").replace("pref 9", "pref 1")],
}


@pytest.mark.parametrize("reason", REFUSED)
def test_what_cannot_be_judged_is_refused_and_changes_nothing(wire, reason):
    with private_namespace() as far:
        veth_pair(End(wire.pod.sandbox, "net2"), End(far, "far"))
        tc(wire.pod.sandbox, *REFUSED[reason])
        if "BPF" in reason:
            wire.pod.run(lambda: put_first(Clsact(), "theirs", index=links()["net2"]))
        with pytest.raises(ApplyError, match=reason):
            wire.pod.enforce(only(ingress=DENY, egress=DENY))
        assert wire.into_pod(port=81)


def test_packets_of_one_source_for_two_interfaces_are_refused(guest):
    with private_namespace() as far:
        pod = guest.pod.outside
        veth_pair(End(pod, "net2"), End(far, "far"))
        action = "u32 match u8 0 0 action mirred egress redirect dev net2"
        tc(pod, "qdisc add dev net2 ingress", f"filter add dev tap0_kata parent ffff: protocol all {action}")
        both = [
            evolve(interface(name, egress=DENY), path=LinkPath.REDIRECTED, carrier=name) for name in ("net1", "net2")
        ]
        ruleset = guest.pod.renderer.render(sandbox(*both))
        with pytest.raises(ApplyError, match="cannot be told apart"):
            run_inside(pod, lambda: guest.pod.applier.apply(ruleset))


def test_ingress_alone_needs_no_hook_for_egress(wire):
    """The qdisc `ingress` of somebody else is enough for rules of ingress."""
    tc(wire.pod.sandbox, "qdisc add dev net1 ingress")
    ruleset = wire.pod.enforce(only(ingress=WEB))
    assert in_force(wire.pod, ruleset)
    assert [wire.into_pod(port=port) for port in (80, 81)] == [True, False]


def test_what_the_kernel_lacks_is_said():
    class Lacking(Clsact):
        def check(self):
            raise FileNotFoundError(2, "this kernel has no qdisc clsact (module sch_ingress)")

    support = EbpfApplier(Lacking()).probe()
    assert not support.usable
    assert "5.17" in support.detail
    assert "sch_ingress" in support.detail


def test_a_host_says_what_is_in_use(wire):
    assert isinstance(wire.pod, EnforcedHost)
    assert EbpfApplier(Clsact()).probe().detail.startswith("cls_bpf, Linux ")
