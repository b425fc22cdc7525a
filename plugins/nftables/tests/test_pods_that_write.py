"""nf_tables objects of a process with NET_ADMIN in a pod: no library parses them, and they obstruct nothing."""

import time

import pytest

from mnp_core.errors import ApplyError
from mnp_core.netfilter import netlink
from mnp_core.netfilter.attributes import attribute, number, text_attribute
from mnp_core.netfilter.batch import BatchWriter
from mnp_core.netfilter.messages import CREATE, NEW_CHAIN, NEW_SET, NEW_TABLE
from mnp_core.netfilter.nfnetlink import Nfnetlink
from mnp_core.sandbox.netns import run_inside
from mnp_core.testing import nft
from mnp_core.testing.netns import private_namespace
from mnp_nftables import NftablesApplier, NftablesRenderer
from plugins.nftables.tests.policies import DENY, allow, interface, isolated, only, sandbox

pytestmark = pytest.mark.root
applier, render = NftablesApplier(), NftablesRenderer().render
POLICY = sandbox(interface("net1", ingress=isolated(allow(["10.0.0.0/8"], ["TCP/80", "TCP/443"])), egress=DENY))
RULESET = render(POLICY)
SEGFAULT = b"\3\x0c\0\4\0\0\0\0\1\4\0\0\0\0"
"""User data of a set: `typeof` (3) an expression whose number (type 0) is 0, which does not exist, and its data (1)."""


@pytest.fixture
def pod():
    with private_namespace() as namespace:
        yield namespace


def write(*messages, table="theirs"):
    """Commit messages that libnftables would not write."""
    writer = BatchWriter()
    writer.add(NEW_TABLE, CREATE, text_attribute(1, table), number(2, 0))
    for kind, *parts in messages:
        writer.add(kind, CREATE, text_attribute(1, table), *parts)
    with Nfnetlink() as kernel:
        kernel.commit(writer.batch())


def set_of_addresses(name, userdata):
    return (
        NEW_SET,
        text_attribute(2, name),
        number(3, 0),
        number(4, 7),
        number(5, 4),
        number(10, 1),
        attribute(13, userdata),
    )


@pytest.mark.parametrize("table", ["theirs", "mnp"])
def test_a_set_that_makes_libnftables_crash_affects_its_pod_alone(pod, table):
    """S62, S63: the agent would die by SIGSEGV, at every start again."""
    run_inside(pod, lambda: write(set_of_addresses("s", SEGFAULT), table=table))
    run_inside(pod, lambda: applier.apply(RULESET))
    assert run_inside(pod, applier.installed).matches(RULESET)
    assert run_inside(pod, applier.counters)
    run_inside(pod, applier.remove)
    assert run_inside(pod, applier.installed) is None


def test_objects_in_the_way_go_of_any_kind(pod):
    """S60, S63: names of ours that mean something else, held by references so that they cannot be deleted alone."""
    in_the_way = """
    table inet mnp {
        flags dormant
        map g4-aaaaaaaaaaaaaaaaaaaa {
            type ipv4_addr : verdict
            elements = { 1.2.3.4 : jump held }
        }
        counter c {
        }
        chain held {
        }
        chain state { type filter hook input priority 0; policy drop; }
        chain egress-net1 { type filter hook output priority 0; policy drop; }
        chain more {
            ip daddr vmap @g4-aaaaaaaaaaaaaaaaaaaa
            counter name c
            jump held
        }
        chain ingress { type filter hook postrouting priority 7; policy accept; jump more; }
    }
    """
    run_inside(pod, lambda: nft.load(in_the_way))
    run_inside(pod, lambda: applier.apply(RULESET))
    assert run_inside(pod, applier.installed).matches(RULESET)
    listing = run_inside(pod, lambda: nft.nft("list", "table", "inet", "mnp"))
    assert not [word for word in ("dormant", "held", "more", "policy drop", "postrouting") if word in listing]


def test_opened_rules_with_our_stamp_are_noticed_and_repaired(pod):
    """S63: there is no stamp to be forged; the rules in force are compared with the ruleset, in a fresh process too."""
    run_inside(pod, lambda: applier.apply(RULESET))
    opened = (
        "insert rule inet mnp ingress-net1 counter accept\n",
        "insert rule inet mnp ingress accept\n",
        "flush chain inet mnp ingress\nadd rule inet mnp ingress iifname net1 counter goto ingress-net1\n",
        f'add rule inet mnp state ct state new comment "digest {RULESET.digest}"\n',
        "add chain inet mnp output { policy drop; }\n",
    )
    for commands in opened:
        run_inside(pod, lambda commands=commands: nft.load(commands))
        assert not run_inside(pod, NftablesApplier().installed).matches(RULESET)
        run_inside(pod, lambda: applier.apply(RULESET))
        assert run_inside(pod, applier.installed).matches(RULESET)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("tcp dport { 80, 443 }", "tcp dport { 80, 444 }"),
        ("tcp dport { 80, 443 }", "tcp dport { 80, 443, 1-79 }"),
        ("ip saddr 10.0.0.0/8", "ip saddr 10.0.0.0/7"),
        ("accept", "drop"),
        ("meta nfproto ipv4 ", ""),
    ],
)
def test_any_other_rule_in_the_place_of_one_of_ours_is_noticed(pod, before, after):
    """S63: the sets of a rule are compared, too."""
    run_inside(pod, lambda: nft.load(RULESET.text))
    assert run_inside(pod, applier.installed).matches(RULESET)
    changed = RULESET.text.replace(before, after) if before in RULESET.text else RULESET.text.replace("goto", "jump")
    run_inside(pod, lambda: nft.load(changed))
    assert not run_inside(pod, applier.installed).matches(RULESET)


def test_correct_rules_need_one_commit_and_leftovers_two(pod):
    """S62: clearing away is a commit of its own only where something is left over."""
    before = run_inside(pod, applier.generation)
    for _ in range(3):
        run_inside(pod, lambda: applier.apply(RULESET))
    assert run_inside(pod, applier.generation) == before + 3
    run_inside(pod, lambda: applier.apply(render(only(egress=DENY))))
    assert run_inside(pod, applier.generation) == before + 5


def test_a_table_that_a_process_in_the_pod_owns_is_an_error_that_says_so(pod):
    """S60: the kernel refuses writes of other processes to it."""

    def own():
        owner = Nfnetlink()
        writer = BatchWriter()
        writer.add(NEW_TABLE, CREATE, text_attribute(1, "mnp"), number(2, 2))  # NFT_TABLE_F_OWNER
        owner.commit(writer.batch())
        return owner

    with run_inside(pod, own):
        for work in (lambda: applier.apply(RULESET), applier.remove):
            with pytest.raises(ApplyError, match="a process in the pod owns the table"):
                run_inside(pod, work)
        assert not run_inside(pod, applier.installed).matches(RULESET)
    run_inside(pod, lambda: applier.apply(RULESET))
    assert run_inside(pod, applier.installed).matches(RULESET)


def test_more_than_is_ever_read_is_not_read_and_goes(pod, monkeypatch):
    """S60: sets in our table, by the thousand; the bound is lower here, as the kernel takes minutes to make so many."""
    sets = [set_of_addresses(f"s{count}", bytes([5, 250]) + bytes(250)) for count in range(2000)]
    run_inside(pod, lambda: write(*sets, table="mnp"))
    monkeypatch.setattr(netlink, "MOST_BYTES", 1 << 18)
    assert not run_inside(pod, applier.installed).matches(RULESET)
    with pytest.raises(ApplyError, match="MiB to read"):
        run_inside(pod, lambda: applier.apply(RULESET))
    assert run_inside(pod, applier.installed).matches(RULESET)


def tables_without_end():
    """Make tables of a chain each, as many as the kernel takes in a few seconds; returns how many."""
    until, made = time.monotonic() + 2.5, 0
    while made < 20_000 and time.monotonic() < until:
        writer = BatchWriter()
        for name in (text_attribute(1, f"t{made + index}") for index in range(500)):
            writer.add(NEW_TABLE, CREATE, name, number(2, 0))
            writer.add(NEW_CHAIN, CREATE, name, text_attribute(3, "ingress"))
        with Nfnetlink() as kernel:
            kernel.commit(writer.batch())
        made += 500
    return made


def test_tables_by_the_thousand_are_in_nobodys_way(pod, monkeypatch):
    """S60, S63: ours is read by name; chains the kernel lists only for all tables together, and that has a bound."""
    run_inside(pod, lambda: applier.apply(RULESET))
    made = run_inside(pod, tables_without_end)

    def work():
        began = time.thread_time()
        applier.apply(RULESET)
        applier.generation()
        assert applier.installed().matches(RULESET)
        return time.thread_time() - began

    assert run_inside(pod, work) < 0.2 + made * 20e-6  # seconds
    monkeypatch.setattr(netlink, "MOST_BYTES", made * 20)
    assert run_inside(pod, applier.counters)
    with pytest.raises(ApplyError, match="remove the entries that a process in the pod added, or restart the pod"):
        run_inside(pod, lambda: applier.apply(RULESET))
    monkeypatch.undo()
    assert run_inside(pod, applier.installed).matches(RULESET)
