"""Rulesets in the kernel, applied and read back (S60, S62, S63)."""

import ctypes
import gc
import re
import socket
import struct
import subprocess
import sys
import threading
import time
from contextlib import suppress
from ipaddress import ip_network
from pathlib import Path
from subprocess import Popen

import pytest
from attrs import evolve

from mnp_core.errors import ApplyError, InputError
from mnp_core.model import Block, CustomRules, DenyAction, Direction, Peers
from mnp_core.testing.netns import private_namespace
from mnp_core.testing.policies import (
    DENY,
    GROUP,
    OTHER_GROUP,
    addresses,
    allow,
    allow_endpoints,
    endpoints,
    interface,
    isolated,
    only,
    origin,
    sandbox,
)
from mnp_iptables import links
from mnp_iptables.applier import IptablesApplier
from mnp_iptables.restore import restore_tool, sockopt
from plugins.iptables.tests.pods import WAYS, Pod, renderer

pytestmark = pytest.mark.root

MEMBERS = addresses(GROUP, "10.0.0.2", "10.0.0.30", "fd00::2", "::1.2.3.4")
ENDPOINTS = endpoints(OTHER_GROUP, ("10.0.0.2", "SCTP", 80), ("fd00::2", "TCP", 65535))
BLOCKS = [f"10.{number}.0.0/16" for number in range(0, 100, 2)] + ["128.0.0.0/1", "fd00::/8"]
EVERYTHING = sandbox(
    interface("net1", ingress=isolated(allow([GROUP, *BLOCKS], ["TCP/80", "UDP/5000-6000"])), egress=DENY),
    interface("net2", egress=isolated(allow_endpoints(OTHER_GROUP))),
    groups=[MEMBERS, ENDPOINTS],
)
REJECTING = evolve(EVERYTHING, common=evolve(EVERYTHING.common, deny_action=DenyAction.REJECT))
RULESET = renderer.render(EVERYTHING)
TOOLS = {4: "iptables", 6: "ip6tables"}


# --- apply and installed ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", [EVERYTHING, REJECTING], ids=["drops", "rejects"])
def test_applied_rules_are_found_again(pod, policy):
    """S62."""
    assert pod.installed() is None
    ruleset = pod.enforce(policy)
    assert pod.installed().matches(ruleset)


def test_another_process_finds_it_and_looking_changes_nothing(pod):
    """S62."""
    pod.enforce(EVERYTHING)
    generation = pod.generation()
    ask = (
        f"from plugins.iptables.tests.pods import *; pod = IptablesApplier(WAYS[{pod.way!r}]());"
        "print(pod.installed().digest, pod.generation())"
    )
    root = Path(__file__).parents[3]
    found = pod.run(
        lambda: subprocess.run([sys.executable, "-c", ask], check=True, capture_output=True, text=True, cwd=root)
    )
    assert found.stdout.split() == [RULESET.digest, str(generation)]
    assert pod.generation() == generation


def test_correct_rules_stay(pod):
    """S60: sets with the right members are not made again."""
    pod.enforce(EVERYTHING)
    before = set(pod.ipset("list", "-n").split())
    pod.enforce(sandbox(*EVERYTHING.interfaces, interface("net9", ingress=DENY), groups=[MEMBERS, ENDPOINTS]))
    assert set(pod.ipset("list", "-n").split()) == before


def test_nothing_of_an_older_ruleset_is_left(pod):
    """S60."""
    old = sandbox(interface("net7", ingress=isolated(allow(["c" * 20]))), groups=[addresses("c" * 20, "10.9.9.9")])
    pod.enforce(EVERYTHING)
    fresh = without_slots(pod.listing())
    for policy in (old, REJECTING, EVERYTHING):
        pod.enforce(policy)
    assert without_slots(pod.listing()) == fresh


def without_slots(listing):
    """Without the versions of sets, which are others after each change."""
    return sorted(re.sub(r"-([ln])\d\b", r"-\1", line) for line in listing)


@pytest.mark.parametrize("family", [4, 6])
def test_a_ruleset_that_is_refused_leaves_the_old_one(pod, family):
    """S60: both families keep their rules if either is refused."""
    pod.enforce(EVERYTHING)
    before = pod.listing()
    line = "-p tcp -m tcp --dport 80 -m owner --uid-owner nobody-of-this-name -j ACCEPT"
    custom = CustomRules(direction=Direction.INGRESS, family=family, lines=(line,))
    other = renderer.render(only(ingress=isolated(allow(["d" * 20])), groups=[addresses("d" * 20)], custom=(custom,)))
    with pytest.raises(ApplyError, match="nobody-of-this-name"):
        pod.run(lambda: pod.applier.apply(other))
    assert without_slots(pod.listing()) == without_slots(before)
    assert pod.installed() is not None
    assert pod.installed().sets == RULESET.sets


@pytest.mark.parametrize("family", [4, 6])
def test_a_refusal_by_the_kernel_alone_leaves_the_old_rules(pod, family):
    """S60: a loop, which no program notices; after it the first family is taken back."""
    pod.enforce(EVERYTHING)
    before = pod.listing()
    other = renderer.render(only(ingress=DENY))
    loop = ":MNP-EGRESS - [0:0]\n"
    parts = other.text.split(loop)
    parts[{4: 1, 6: 2}[family]] = parts[{4: 1, 6: 2}[family]].replace(
        "-I POSTROUTING", "-A MNP-EGRESS -j MNP-I-net1\n-A MNP-I-net1 -j MNP-EGRESS\n-I POSTROUTING"
    )
    with pytest.raises(ApplyError):
        pod.run(lambda: pod.applier.apply(evolve(other, text=loop.join(parts))))
    assert without_slots(pod.listing()) == without_slots(before)


def test_two_that_apply_at_once_end_in_one_of_both_states(pod):
    """S60: one may be refused; the rules in force are complete, or count as changed."""
    policies = [EVERYTHING, sandbox(interface("net1", ingress=DENY), groups=[addresses(GROUP, "10.8.8.8")])]

    def work(policy):
        for _ in range(10):
            with suppress(ApplyError):
                pod.enforce(policy)

    threads = [threading.Thread(target=work, args=(policy,)) for policy in policies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    digests = {renderer.render(policy).digest for policy in policies}
    assert pod.installed().digest in {"", *digests}
    for policy in policies:
        ruleset = pod.enforce(policy)
        assert pod.installed().matches(ruleset)


def test_many_namespaces_at_once(cleanup, way):
    """Cached state of the process must not lead from one sandbox into another."""
    pods = [Pod(cleanup.enter_context(private_namespace()), cleanup, way) for _ in range(8)]
    policies = [
        sandbox(interface(f"net{n}", ingress=isolated(allow([GROUP]))), groups=[addresses(GROUP, f"10.0.0.{n}")])
        for n in range(len(pods))
    ]
    failures = []

    def work(pod, policy):
        try:
            for _ in range(5):
                ruleset = pod.enforce(policy)
                assert pod.installed().matches(ruleset)
        except BaseException as error:  # noqa: BLE001 - asserted below, on the test's own thread
            failures.append(error)

    threads = [threading.Thread(target=work, args=pair) for pair in zip(pods, policies, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


@pytest.mark.parametrize("policy", [EVERYTHING, REJECTING], ids=["drops", "rejects"])
def test_remove_takes_ours_and_nothing_else(pod, policy):
    """S62."""
    pod.ipset("create", "theirs", "hash:ip")
    pod.iptables("-t", "mangle", "-A", "PREROUTING", "-m", "set", "--match-set", "theirs", "src", "-j", "ACCEPT")
    pod.iptables("-A", "INPUT", "-p", "tcp", "-j", "ACCEPT", family=6)
    before = pod.listing()
    pod.enforce(policy)
    for _ in range(2):
        pod.run(pod.applier.remove)
        assert pod.installed() is None
        assert pod.listing() == before


def test_nothing_is_left_where_nothing_was(pod):
    """S62: nf_tables knows none of our tables any more; legacy tables cannot be taken away, but are empty."""
    pod.enforce(EVERYTHING)
    pod.run(pod.applier.remove)
    assert pod.listing() == []
    assert pod.way == "legacy" or pod.nft("list ruleset\n") == ""


def test_from_one_way_to_the_other(cleanup):
    """Migration of a node: each finds and removes its own rules, with sets of its own; both may judge for a while."""
    namespace = cleanup.enter_context(private_namespace())
    nft, legacy = (Pod(namespace, cleanup, way) for way in ("nft", "legacy"))
    for old, new in ((nft, legacy), (legacy, nft)):
        old.enforce(EVERYTHING)
        new.enforce(EVERYTHING)
        assert old.installed().matches(RULESET)
        assert new.installed().matches(RULESET)
        old.run(old.applier.remove)
        assert old.installed() is None
        assert old.listing() == new.sets()
        assert new.installed().matches(RULESET)
    nft.run(nft.applier.remove)
    assert nft.listing() == legacy.listing() == []


# --- S63: drift -------------------------------------------------------------------------------------------------


def mangle(*arguments, family=4):
    return lambda pod: pod.iptables("-t", "mangle", *arguments, family=family)


def on_set(verb, element):
    def change(pod):
        (name,) = [name for name in pod.ipset("list", "-n").split() if name.startswith(f"mnp4-{GROUP}")]
        pod.ipset(verb, name, element)

    return change


def swapped(pod):
    (name,) = [name for name in pod.ipset("list", "-n").split() if name.startswith(f"mnp4-{GROUP}")]
    pod.ipset("create", "other", "hash:ip")
    pod.ipset("swap", name, "other")


TAMPERED = {
    "rule added": mangle("-I", "MNP-I-net1", "-j", "RETURN"),
    "rule replaced": mangle("-R", "MNP-I-net1", "1", "-j", "RETURN", family=6),
    "rules flushed": mangle("-F", "MNP-E-net1", family=6),
    "dispatch flushed": mangle("-F", "MNP-INGRESS"),
    "jump removed": mangle("-D", "PREROUTING", "-j", "MNP-INGRESS"),
    "jump not first": mangle("-I", "PREROUTING", "-j", "ACCEPT"),
    "jump twice": mangle("-A", "OUTPUT", "-j", "MNP-EGRESS", family=6),
    "jump elsewhere": mangle("-A", "OUTPUT", "-p", "tcp", "-j", "MNP-I-net1"),
    "chain added": mangle("-N", "MNP-more"),
    "a digest too many": mangle("-N", "MNP-" + "a" * 24),
    "member added": on_set("add", "10.6.6.6"),
    "member removed": on_set("del", "10.0.0.2"),
    "set swapped": swapped,
    "one family gone": lambda pod: [mangle(option, family=6)(pod) for option in ("-F", "-X")],
}


@pytest.mark.parametrize("change", TAMPERED)
def test_any_change_of_our_rules_is_seen_and_repaired(pod, change):
    """S63."""
    pod.enforce(EVERYTHING)
    generation, pristine = pod.generation(), without_slots(pod.listing())
    TAMPERED[change](pod)
    assert pod.generation() != generation
    found = pod.installed()
    assert found is None or not found.matches(RULESET)
    pod.enforce(EVERYTHING)
    assert pod.installed().matches(RULESET)
    theirs = ("other", "-A PREROUTING -j ACCEPT")
    assert [line for line in without_slots(pod.listing()) if not any(each in line for each in theirs)] == pristine


def test_changes_elsewhere_are_none_of_ours(pod):
    """S63, S49."""
    pod.enforce(EVERYTHING)
    generation = pod.generation()
    pod.iptables("-t", "mangle", "-A", "PREROUTING", "-p", "tcp", "-j", "ACCEPT")
    pod.iptables("-N", "THEIRS")
    assert pod.generation() != generation
    assert pod.installed().matches(RULESET)


# --- membership -------------------------------------------------------------------------------------------------


def test_membership_changes_alone(pod):
    """S60: no rule changes, and the installed rules equal a fresh rendering."""
    pod.enforce(EVERYTHING)
    rules = [line for line in pod.listing() if "tables -t" in line]
    more = addresses(GROUP, "10.0.0.2", "10.7.7.7", "fd00::7")
    pod.regroup(MEMBERS, more)
    assert pod.installed().matches(renderer.render(sandbox(*EVERYTHING.interfaces, groups=[more, ENDPOINTS])))
    assert [line for line in pod.listing() if "tables -t" in line] == rules
    pod.regroup(more, MEMBERS)
    pod.regroup(ENDPOINTS, endpoints(OTHER_GROUP))
    pod.regroup(endpoints(OTHER_GROUP), ENDPOINTS)
    assert pod.installed().matches(RULESET)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (addresses(GROUP, "10.0.0.30"), addresses(GROUP, "10.0.0.2")),
        (addresses(GROUP, "10.0.0.2", "fd00::9"), addresses(GROUP, "fd00::5")),
        (addresses("c" * 20), addresses("c" * 20, "10.0.0.2")),
    ],
    ids=["comes but is there", "goes but is not there", "no such group"],
)
def test_a_change_that_does_not_fit_is_refused_as_a_whole(pod, before, after):
    """S60."""
    pod.enforce(EVERYTHING)
    with pytest.raises(ApplyError):
        pod.regroup(before, after)
    assert pod.installed().matches(RULESET)


def test_a_change_of_nothing_does_nothing(pod):
    """S61."""
    generation = pod.generation()
    pod.regroup(MEMBERS, MEMBERS)
    assert pod.generation() == generation


def test_every_kind_of_element_is_read_as_it_was_written(pod):
    """S62: or pods would be written to at each start."""
    members = addresses(GROUP, "0.0.0.1", "255.255.255.255", "::", "::1", "::ffff:0:1", "1:0:0:2:0:0:0:3", "fe80::1")
    found = endpoints(
        OTHER_GROUP, *((a, p, n) for a in ("10.0.0.1", "::1") for p in ("TCP", "UDP", "SCTP") for n in (1, 65535))
    )
    blocks = (Block(cidr=ip_network("0.0.0.0/0"), excepts=(ip_network("10.0.0.1"),)), Block(cidr=ip_network("::1")))
    rules = isolated(evolve(allow(), peers=Peers(blocks=blocks, groups=(GROUP,))))
    policy = sandbox(
        interface("net1", ingress=rules, egress=isolated(allow_endpoints(OTHER_GROUP))), groups=[members, found]
    )
    ruleset = pod.enforce(policy)
    assert sum(map(len, ruleset.sets.values())) == 6 + 12 + 32  # without the unspecified address
    assert pod.installed().matches(ruleset)


# --- counters ---------------------------------------------------------------------------------------------------


def test_counters_have_place_and_label(wire):
    rules = isolated(allow(ports=["UDP/80"], source=origin(3, name="web")))
    wire.pod.enforce(sandbox(interface("net1", ingress=rules), interface("odd=name", egress=DENY)))
    wire.into_pod(port=80)
    wire.into_pod(port=81)
    found = {(c.interface, c.direction, c.label): (c.packets, c.bytes) for c in wire.pod.run(wire.pod.applier.counters)}
    assert found["net1", "Ingress", "MultiNetworkPolicy default/web ingress[3]"] == (1, 48)
    assert found["net1", "Ingress", "denied"] >= (1, 48)  # hosts look for routers now and then
    assert found["odd=name", "Egress", "denied"] == (0, 0)


def test_counters_of_others_go_on(wire):
    """S49: a table that is replaced as a whole keeps the counters of foreign rules."""
    wire.pod.iptables("-t", "mangle", "-A", "PREROUTING", "-p", "udp", "--dport", "80")
    for _ in range(3):
        wire.pod.enforce(only(ingress=isolated(allow(ports=["UDP/80"]))))
        assert wire.into_pod(port=80)
    assert "[3:144] -A PREROUTING -p udp" in wire.pod.program(f"iptables-{wire.pod.way}-save", "-c", "-t", "mangle")


def test_without_rules_there_are_no_counters(pod):
    assert pod.run(pod.applier.counters) == []


# --- custom rules -----------------------------------------------------------------------------------------------


def test_pods_with_the_same_rules_share_one_translation(cleanup, way, monkeypatch):
    """A program is started once for a ruleset, not for each pod, independently of members."""
    started = []
    monkeypatch.setattr(
        restore_tool.subprocess, "Popen", lambda *args, **kwargs: started.append(1) or Popen(*args, **kwargs)
    )
    custom = CustomRules(
        direction=Direction.INGRESS, family=6, lines=("-p tcp -m tcp --syn -m limit --limit 5/s -j RETURN",)
    )
    for number in range(3):
        pod = Pod(cleanup.enter_context(private_namespace()), cleanup, way)
        pod.enforce(
            sandbox(interface("once0", ingress=DENY), groups=[addresses(GROUP, f"10.0.0.{number}")], custom=(custom,))
        )
        assert len(started) == 2
    monkeypatch.undo()
    assert "--limit 5/sec -g MNP-IP-once0" in "\n".join(pod.listing())


@pytest.mark.parametrize(
    "line",
    [
        "-p tcp --dprot 80 -j ACCEPT",
        "-m nobody-has-this -j ACCEPT",
        "-j NOBODY-HAS-THIS",
        "-s 10.0.0.0/33 -j ACCEPT",
        "-m set --match-set theirs src -j ACCEPT",
        "ACCEPT",
        '-m comment --comment "open',
        "-p tcp -m owner --uid-owner 0 -j ACCEPT",
    ],
)
@pytest.mark.parametrize("deny", DenyAction)
def test_a_custom_rule_that_iptables_refuses_is_found_before_any_pod(way, line, deny):
    """S6: with the file, the line and iptables' own words."""
    custom = CustomRules(
        direction=Direction.INGRESS, family=4, lines=("# ours", "-p tcp --dport 80 -j ACCEPT", line), source="rules.v4"
    )
    common = evolve(EVERYTHING.common, custom=(custom,), deny_action=deny)
    with pytest.raises(InputError, match=r"(?s)^rules.v4: line 3: .*" + re.escape(line)):
        IptablesApplier(WAYS[way]()).check(common)


@pytest.mark.parametrize("deny", DenyAction)
def test_custom_rules_that_are_right_are_none_of_the_check(way, deny):
    lines = ("# ours", "", "-p tcp -m tcp --dport 80 -j ACCEPT", "-p udp -j REJECT", "-m limit --limit 5/s -j RETURN")
    custom = tuple(CustomRules(direction=d, family=f, lines=lines) for d in Direction for f in (4, 6))
    IptablesApplier(WAYS[way]()).check(evolve(EVERYTHING.common, custom=custom, deny_action=deny))


# --- interoperability -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", [EVERYTHING, REJECTING], ids=["drops", "rejects"])
def test_saved_rules_can_be_restored(pod, cleanup, policy):
    """The revisions are those that the programs themselves write and print."""
    pod.enforce(policy)
    saved = {family: pod.program(f"{tool}-{pod.way}-save") for family, tool in TOOLS.items()}
    sets = pod.program("ipset", "save")
    other = Pod(cleanup.enter_context(private_namespace()), cleanup, pod.way)
    other.program("ipset", "restore", text=sets)
    for family, tool in TOOLS.items():
        assert "unsupported" not in saved[family]
        other.program(f"{tool}-{pod.way}-restore", text=saved[family])
    assert other.listing() == pod.listing()


# --- capabilities of this machine -------------------------------------------------------------------------------


def test_a_probe_changes_nothing(pod):
    """Not even an empty table comes into being, which reading one would do."""
    support = pod.run(pod.applier.probe)
    assert support.usable
    assert support.rank < 100
    assert pod.nft("list ruleset\n") == ""
    assert pod.run(lambda: sockopt.tables(4) | sockopt.tables(6)) == frozenset()
    assert pod.ipset("list") == ""


def test_looking_makes_no_table(pod):
    for look in (pod.applier.installed, pod.applier.generation, pod.applier.counters, pod.applier.remove):
        pod.run(look)
    assert pod.nft("list ruleset\n") == ""
    assert pod.run(lambda: sockopt.tables(4) | sockopt.tables(6)) == frozenset()


def test_a_probe_without_privileges_names_the_missing_ones(way):
    ask = f"from plugins.iptables.tests.pods import *; print(IptablesApplier(WAYS[{way!r}]()).probe())"
    command = ["unshare", "--user", sys.executable, "-c", ask]  # a user namespace has no rights over the host's
    found = subprocess.run(command, check=True, capture_output=True, text=True, cwd=Path(__file__).parents[3])
    assert "usable=False" in found.stdout
    assert "as root" in found.stdout


def test_a_vrf_is_recognised():
    """S47: by the kind of a link (rtnetlink(7), IFLA_INFO_KIND)."""

    def attribute(kind, value):
        return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)

    def link(*info):
        head = struct.pack("=BxHiII", socket.AF_UNSPEC, 1, 7, 0, 0)
        return head + attribute(3, b"net1\0") + attribute(18, b"".join(info))

    assert links.is_vrf(link(attribute(1, b"vrf\0")))
    assert not links.is_vrf(link(attribute(1, b"macvlan\0"), attribute(4, b"vrf\0"), attribute(5, b"")))
    assert not links.is_vrf(link(attribute(4, b"bridge\0")))


# --- soak -------------------------------------------------------------------------------------------------------


class Allocations(ctypes.Structure):
    """mallinfo2(3)"""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for names in ("arena ordblks smblks hblks hblkhd", "usmblks fsmblks uordblks fordblks keepcost")
        for name in names.split()
    )


ask_allocations = ctypes.CDLL(None).mallinfo2
ask_allocations.restype = Allocations


def memory():
    """Bytes that libraries have not freed, and blocks that Python has not; resident pages would show past peaks."""
    gc.collect()
    found = ask_allocations()
    return found.uordblks + found.hblkhd, sys.getallocatedblocks()


def descriptors():
    return len([*Path("/proc/self/fd").iterdir()])


def soak(pod, applies):
    """Bytes, blocks and descriptors that this many applies left behind."""
    policies = [EVERYTHING, REJECTING, only(ingress=DENY), sandbox(interface("net1", ingress=DENY), groups=[])]
    before = *memory(), descriptors()
    for number in range(applies):
        pod.enforce(policies[number % len(policies)])
    return [now - then for now, then in zip((*memory(), descriptors()), before, strict=True)]


@pytest.mark.full
def test_nothing_leaks(pod):
    """A leak grows in every round; growth by leftovers of other tests comes in one."""
    soak(pod, 60)  # everything was used before it is measured
    bytes_more, blocks_more, descriptors_more = (
        min(counts) for counts in zip(*(soak(pod, 60) for _ in range(5)), strict=True)
    )
    assert bytes_more < 4096
    assert blocks_more < 60
    assert descriptors_more <= 0


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_nothing_leaks_in_ten_thousand_applies(pod):
    started = time.monotonic()
    soak(pod, 1_000)  # everything was used before it is measured
    grown, blocks, opened = soak(pod, 10_000)
    left = f"{grown} bytes, {blocks} blocks, {opened} descriptors more"
    print(f"{pod.way}: {left}, in {time.monotonic() - started:.0f} s")  # noqa: T201 - the figure
    assert grown < 1024 * 1024
    assert blocks < 1000
    assert opened == 0
