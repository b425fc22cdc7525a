"""Rulesets in the kernel, applied and read back (S60, S62, S63)."""

import socket
import struct
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import pytest
from attrs import evolve

from mnp_core.errors import ApplyError, UnsupportedError
from mnp_core.model import GroupDelta, Ruleset
from mnp_core.netfilter.attributes import attribute, text_attribute
from mnp_core.testing import nft
from mnp_nftables import NftablesApplier, NftablesRenderer, libnftables
from mnp_nftables.expressions import expression
from mnp_nftables.rule import Chain, Rule
from mnp_nftables.sets import TABLE, element_key, element_text
from mnp_nftables.terms import Term, jump
from plugins.nftables.tests.policies import (
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
    with_chain,
)

MEMBERS = addresses(GROUP, "10.0.0.2", "10.0.0.30", "fd00::2", "::1.2.3.4")
ENDPOINTS = endpoints(OTHER_GROUP, ("10.0.0.2", "SCTP", 80), ("fd00::2", "TCP", 65535))
EVERYTHING = sandbox(
    interface("net1", ingress=isolated(allow([GROUP, "10.0.0.0/8"], ["TCP/80", "UDP/5000-6000"])), egress=DENY),
    interface("net2", egress=isolated(allow_endpoints(OTHER_GROUP))),
    groups=[MEMBERS, ENDPOINTS],
)
applier, renderer = NftablesApplier(), NftablesRenderer()
RULESET = renderer.render(EVERYTHING)


def installed(pod):
    return pod.run(applier.installed)


# --- apply and installed ----------------------------------------------------------------------------------------


@pytest.mark.root
def test_applied_rules_are_found_again(pod):
    """S62."""
    assert installed(pod) is None
    pod.enforce(EVERYTHING)
    assert installed(pod).matches(RULESET)


@pytest.mark.root
def test_another_process_finds_it_and_counters_stay(pod):
    """S62."""
    pod.enforce(EVERYTHING)
    generation = pod.run(applier.generation)
    ask = "from mnp_nftables import NftablesApplier; print(NftablesApplier().installed().digest)"
    found = pod.run(lambda: subprocess.run([sys.executable, "-c", ask], check=True, capture_output=True, text=True))
    assert found.stdout.strip() == RULESET.digest
    assert pod.run(applier.generation) == generation  # looking changes nothing


@pytest.mark.root
def test_nothing_of_an_older_ruleset_is_left(pod):
    """S60."""
    old = sandbox(interface("net7", ingress=isolated(allow(["c" * 20]))), groups=[addresses("c" * 20, "10.9.9.9")])
    pod.enforce(old)
    pod.enforce(EVERYTHING)
    fresh = pod.nft("list table inet mnp\n")
    assert "net7" not in fresh
    assert "10.9.9.9" not in fresh
    assert "c" * 20 not in fresh
    assert installed(pod).matches(RULESET)


@pytest.mark.root
def test_base_chains_stay_and_dispatch_without_sets(pod):
    """S60: a hook that is made anew, or elements that go with the old rules, are gaps (see `mnp_nftables.renderer`)."""

    def hooks():
        chains = [each["chain"] for each in pod.objects() if "hook" in each.get("chain", {})]
        return {chain["name"]: chain["handle"] for chain in chains}

    pod.enforce(only(ingress=DENY))
    before = hooks()
    assert set(before) == {"ingress", "output", "forward"}
    pod.enforce(EVERYTHING)
    assert hooks() == before
    rules = [each["rule"] for each in pod.objects() if "rule" in each]
    assert not [rule for rule in rules if rule["chain"] in before and "vmap" in str(rule["expr"])]


@pytest.mark.root
@pytest.mark.parametrize("term", [jump("nowhere"), Term("", (expression("no-such"),))], ids=["chain", "expression"])
def test_a_ruleset_that_is_refused_leaves_the_old_one(pod, term):
    """S60: at the end of all rules; the error says which part of it."""
    pod.enforce(EVERYTHING)
    before = pod.nft("list ruleset\n")
    other = renderer.render(only(ingress=DENY))
    broken = Chain(name="ingress", rules=(Rule.of(term),))
    with pytest.raises(ApplyError, match="nf_tables refuses rule in chain ingress: No such file"):
        pod.run(lambda: applier.apply(with_chain(other, broken)))
    assert pod.nft("list ruleset\n") == before
    assert installed(pod).matches(RULESET)


def test_a_ruleset_of_another_renderer_is_refused():
    for other in (Ruleset(dialect="nftables", text="", digest=""), evolve(RULESET, text="")):
        with pytest.raises(ApplyError, match="was not written by NftablesRenderer"):
            applier.apply(other)


@pytest.mark.root
def test_two_that_apply_at_once_end_in_one_of_both_states(pod):
    """S60."""
    rulesets = [RULESET, renderer.render(only(ingress=DENY))]

    def work(ruleset):
        for _ in range(20):
            pod.run(lambda: applier.apply(ruleset))

    threads = [threading.Thread(target=work, args=(ruleset,)) for ruleset in rulesets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = installed(pod)
    assert found.digest in {"", *(ruleset.digest for ruleset in rulesets)}
    for ruleset in rulesets:
        pod.run(lambda ruleset=ruleset: applier.apply(ruleset))
        assert installed(pod).matches(ruleset)


@contextmanager
def meanwhile(pod, work):
    """Repeat this in the pod on another thread, for the length of a block."""
    over = threading.Event()

    def repeat():
        while not over.is_set():
            work()

    somebody = threading.Thread(target=lambda: pod.run(repeat))
    somebody.start()
    try:
        yield
    finally:
        over.set()
        somebody.join()


@pytest.mark.root
def test_objects_deleted_during_a_read_are_no_error(pod):
    """S62: another agent, as during an upgrade, deletes the leftovers of its replacement."""
    pod.enforce(EVERYTHING)

    def come_and_go():
        nft.load(f"add set inet {TABLE} extra {{ type ipv4_addr; elements = {{ 10.9.9.9 }}; }}\n")
        nft.load(f"delete set inet {TABLE} extra\n")
        time.sleep(0.005)

    with meanwhile(pod, come_and_go):
        for _ in range(300):
            assert installed(pod) is not None


@pytest.mark.root
def test_remove_takes_ours_and_nothing_else(pod):
    """S62."""
    pod.nft("table inet theirs {\n chain c {\n counter\n }\n}\ntable ip mnp {\n}\n")
    before = pod.nft("list ruleset\n")
    pod.enforce(EVERYTHING)
    for _ in range(2):
        pod.run(applier.remove)
        assert installed(pod) is None
        assert pod.nft("list ruleset\n") == before


@pytest.mark.root
def test_a_foreign_change_during_an_update_is_reported(pod):
    """S63: a comparison of generations alone would miss it behind our own commit."""
    pod.enforce(EVERYTHING)

    def updates(seconds):
        before, after = MEMBERS, addresses(GROUP, "10.0.0.99")
        end = time.monotonic() + seconds
        while time.monotonic() < end or before is not MEMBERS:  # the last one restores what was there
            yield applier.update(renderer.render_delta(GroupDelta(before=before, after=after)))
            before, after = after, before
            time.sleep(0.002)  # libnftables reads all rules again when they change meanwhile

    def disturb():
        nft.load("add table inet other\ndelete table inet other\n")

    assert pod.run(lambda: all(updates(0.2)))
    with meanwhile(pod, disturb):
        assert not pod.run(lambda: all(updates(10)))


# --- S63: drift -------------------------------------------------------------------------------------------------

TAMPERED = {
    "rule added": "insert rule inet mnp ingress-net1 accept\n",
    "rules flushed": "flush chain inet mnp ingress-net1\n",
    "dispatch flushed": "flush chain inet mnp ingress\n",
    "rule made anew": "flush chain inet mnp forward\nadd rule inet mnp forward oifname net1 goto egress-net1\n",
    "policy of a hook": "add chain inet mnp ingress { policy drop; }\n",
    "table put to sleep": "add table inet mnp { flags dormant; }\n",
    "chain added": "add chain inet mnp more\n",
    "hook added": "add chain inet mnp more { type filter hook input priority 0; policy drop; }\n",
    "set added": "add set inet mnp more { type ipv4_addr; }\n",
    "member added": f"add element inet mnp g4-{GROUP} {{ 10.6.6.6 }}\n",
    "member removed": f"delete element inet mnp g4-{GROUP} {{ 10.0.0.2 }}\n",
    "everything gone": "delete table inet mnp\n",
    "tracking gone": "flush chain inet mnp state\n",
    "rule repeated": "add rule inet mnp state ct state new\n",
    "any address as member": "flush set inet mnp g4-" + GROUP + "\nadd element inet mnp g4-" + GROUP + " { * }\n",
    "another type of set": f"flush table inet mnp\ndelete set inet mnp g4-{GROUP}\n"
    f"add set inet mnp g4-{GROUP} {{ type ether_addr; }}\n",
    "another hook": "flush table inet mnp\ndelete chain inet mnp ingress\n"
    "add chain inet mnp ingress { type filter hook postrouting priority 7; policy accept; }\n",
}


@pytest.mark.root
@pytest.mark.parametrize("change", TAMPERED)
def test_any_change_of_our_rules_is_seen_and_repaired(pod, change):
    """S63."""
    pod.enforce(EVERYTHING)
    generation = pod.run(applier.generation)
    pristine = without_handles(pod.nft("list table inet mnp\n"))
    pod.nft(TAMPERED[change])
    assert pod.run(applier.generation) != generation
    found = installed(pod)
    assert found is None or not found.matches(RULESET)
    pod.enforce(EVERYTHING)
    assert installed(pod).matches(RULESET)
    assert without_handles(pod.nft("list table inet mnp\n")) == pristine


def without_handles(listing):
    return [line.partition(" # handle")[0] for line in listing.splitlines()]


@pytest.mark.root
def test_changes_elsewhere_are_none_of_ours(pod):
    """S63, S49."""
    pod.enforce(EVERYTHING)
    generation = pod.run(applier.generation)
    pod.nft("table inet theirs {\n chain c {\n counter\n }\n}\n")
    assert pod.run(applier.generation) != generation
    assert installed(pod).matches(RULESET)


@pytest.mark.root
@pytest.mark.parametrize("name", [b"\xff\xfe", b'g" } ; flush ruleset', b"ingress_zz", b"\n", b"x" * 100])
@pytest.mark.parametrize("kind", ["chain", "set"])
def test_hostile_names_in_our_table_are_harmless(pod, name, kind):
    """S63: made over netlink, where names are bytes; libnftables' own JSON listing ends the process on some."""
    pod.enforce(EVERYTHING)
    pod.run(lambda: make_object(kind, name))
    assert not installed(pod).matches(RULESET)
    assert pod.run(applier.counters)
    pod.enforce(EVERYTHING)
    assert installed(pod).matches(RULESET)


def make_object(kind, name):
    """Let the kernel have a chain or set in our table by a name that nft would not write."""

    def message(kind, flags, sequence, body, *, family=1, resource=0):
        head = struct.pack("=IHHII", 20 + len(body), kind, flags, sequence, 0)
        return head + struct.pack("=BBH", family, 0, socket.htons(resource)) + body

    number = {name: struct.pack(">I", value) for name, value in {"id": 1, "type": 7, "size": 4}.items()}
    create = {
        "chain": (0xA03, text_attribute(1, "mnp") + attribute(3, name + b"\0")),
        "set": (
            0xA09,
            text_attribute(1, "mnp")
            + attribute(2, name + b"\0")
            + attribute(4, number["type"])
            + attribute(5, number["size"])
            + attribute(10, number["id"]),
        ),
    }
    code, body = create[kind]
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12) as kernel:
        begin, end = (message(end, 1, end, b"", family=0, resource=10) for end in (16, 17))
        kernel.send(begin + message(code, 0x405, 20, body) + end)
        assert struct.unpack_from("=i", kernel.recv(4096), 16) == (0,)


# --- membership -------------------------------------------------------------------------------------------------


@pytest.mark.root
def test_membership_changes_alone(pod):
    """S60: no rule changes, and the installed table equals a fresh rendering."""
    pod.enforce(EVERYTHING)
    rules = [line for line in pod.nft("list table inet mnp\n").splitlines() if "counter" in line]
    more = addresses(GROUP, "10.0.0.2", "10.7.7.7", "fd00::7")
    pod.regroup(MEMBERS, more)
    assert installed(pod).matches(
        renderer.render(sandbox(*EVERYTHING.interfaces, groups=[more, ENDPOINTS])),
    )
    assert [line for line in pod.nft("list table inet mnp\n").splitlines() if "counter" in line] == rules
    pod.regroup(more, MEMBERS)
    pod.regroup(ENDPOINTS, endpoints(OTHER_GROUP))
    pod.regroup(endpoints(OTHER_GROUP), ENDPOINTS)
    assert installed(pod).matches(RULESET)


@pytest.mark.root
@pytest.mark.parametrize(
    ("before", "after"),
    [
        (addresses(GROUP), addresses(GROUP, "10.0.0.2")),
        (addresses(GROUP, "10.9.9.9"), addresses(GROUP)),
        (addresses("c" * 20), addresses("c" * 20, "10.0.0.2")),
    ],
    ids=["comes but is there", "goes but is not there", "no such group"],
)
def test_a_change_that_does_not_fit_is_refused_as_a_whole(pod, before, after):
    """S60."""
    pod.enforce(EVERYTHING)
    fits = addresses(GROUP, "10.1.1.1")
    pod.regroup(addresses(GROUP), fits)
    pod.regroup(fits, addresses(GROUP))
    delta = renderer.render_delta(GroupDelta(before=before, after=after))
    more = renderer.render_delta(GroupDelta(before=addresses(GROUP), after=fits))
    names = {*delta.added, *more.added}
    added = {name: delta.added.get(name, frozenset()) | more.added.get(name, frozenset()) for name in names}
    with pytest.raises(ApplyError, match="set g4-"):
        pod.run(lambda: applier.update(evolve(delta, added=added)))
    assert installed(pod).matches(RULESET)


@pytest.mark.root
def test_thousands_come_and_go_in_one_commit(pod):
    """S61: more than one message holds, and more than a socket takes unasked."""
    pod.enforce(EVERYTHING)
    many = addresses(GROUP, *(f"fd00::{number:x}" for number in range(1, 8001)), "10.0.0.2")
    before = pod.run(applier.generation)
    pod.regroup(MEMBERS, many)
    assert pod.run(applier.generation) == before + 1
    assert installed(pod).matches(renderer.render(sandbox(*EVERYTHING.interfaces, groups=[many, ENDPOINTS])))
    pod.regroup(many, MEMBERS)
    assert installed(pod).matches(RULESET)


@pytest.mark.parametrize(
    "text", ["10.0.0.1", "fd00::1", "::1.2.3.4", "::102:304", "10.0.0.1 . 6 . 80", "fd00::1 . 132 . 65535"]
)
def test_elements_are_written_as_they_are_read(text):
    assert element_text(element_key(text)) == str(text).replace("::1.2.3.4", "::102:304")


@pytest.mark.root
def test_a_change_of_nothing_does_nothing(pod):
    """S61."""
    delta = renderer.render_delta(GroupDelta(before=MEMBERS, after=MEMBERS))
    assert not delta.text
    generation = pod.run(applier.generation)
    assert pod.run(lambda: applier.update(delta))
    assert pod.run(applier.generation) == generation


# --- counters ---------------------------------------------------------------------------------------------------


@pytest.mark.root
def test_counters_have_place_and_label(wire):
    rules = isolated(allow(ports=["UDP/80"], source=origin(3, name="web")))
    wire.pod.enforce(sandbox(interface("net1", ingress=rules), interface("other", egress=DENY)))
    wire.into_pod(port=80)
    wire.into_pod(port=81)
    found = {(c.interface, c.direction, c.label): (c.packets, c.bytes) for c in wire.pod.run(applier.counters)}
    assert found["net1", "Ingress", "MultiNetworkPolicy default/web ingress[3]"] == (1, 48)
    assert found["net1", "Ingress", "denied"] >= (1, 48)  # hosts look for routers now and then
    assert found["other", "Egress", "denied"] == (0, 0)


@pytest.mark.root
def test_without_rules_there_are_no_counters(pod):
    assert pod.run(applier.counters) == []


# --- capabilities of this machine -------------------------------------------------------------------------------


@pytest.mark.root
def test_a_probe_changes_nothing(pod):
    generation = pod.run(applier.generation)
    assert pod.run(applier.probe).usable
    assert pod.run(applier.generation) == generation
    assert not pod.nft("list ruleset\n")


def test_a_probe_without_privileges_names_the_missing_ones():
    ask = "from mnp_nftables import NftablesApplier; print(NftablesApplier().probe())"
    command = ["unshare", "--user", sys.executable, "-c", ask]  # a user namespace has no rights over the host's
    found = subprocess.run(command, check=True, capture_output=True, text=True)
    assert "usable=False" in found.stdout
    assert "CAP_NET_ADMIN" in found.stdout


def test_without_the_library_the_error_says_how_to_get_it():
    with pytest.raises(UnsupportedError, match="apt-get install libnftables1"):
        libnftables.load("libnot-there.so.1")
