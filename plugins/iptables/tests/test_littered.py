"""A pod with arbitrary tables and sets of a process with CAP_NET_ADMIN: it is enforced, or refused, alone."""

import random
import resource
import struct
import subprocess
import time
from contextlib import suppress
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnp_core.errors import ApplyError
from mnp_core.netfilter import netlink
from mnp_core.netfilter.attributes import attribute, attributes
from mnp_core.netfilter.batch import BatchWriter
from mnp_core.netfilter.nfnetlink import Nfnetlink
from mnp_core.testing.policies import GROUP
from mnp_iptables.restore import nft_tables
from mnp_iptables.restore.blob import LAYOUTS, Hooks, decode
from mnp_iptables.restore.nft_tables import TableWriter
from mnp_iptables.sets import ipset, versioned_sets
from plugins.iptables.tests.pods import renderer
from plugins.iptables.tests.test_applier import EVERYTHING

pytestmark = pytest.mark.root
RULESET = renderer.render(EVERYTHING)
SOON = 20  # seconds, on however slow a machine
MUCH = 150 << 20  # bytes

NAMES = [
    "MNP-INGRESS",
    "MNP-I-net1",
    "MNP-I_%%%",
    "MNP-" + "a" * 24,
    "MNP-",
    "PREROUTING",
    "x",
    "é",
    "\udcff",
    "a" * 28,
]
SETS = [f"mnp4-{GROUP}", f"mnp4-{GROUP}-n1", f"mnp4-{GROUP}-l2", f"mnp6-{GROUP}-n9", "mnp", "mnpb4-x-n1", "other"]
TYPES = [
    *("hash:ip", "hash:ip timeout 100", "hash:ip counters comment", "hash:net family inet6", "hash:ip,port,net"),
    *("bitmap:port range 0-65535", "list:set", "hash:mac", "hash:ip netmask 24", "hash:net,iface", "hash:ip skbinfo"),
]


def quietly(pod, *command, text=""):
    """Run a program like a process in the pod; it may be refused."""
    data = text.encode(errors="surrogateescape")
    words = [word.encode(errors="surrogateescape") for word in command]
    pod.run(partial(subprocess.run, words, input=data, capture_output=True, timeout=SOON))


def nft(pod, draw):
    family, table = draw.choice(["ip", "ip6"]), draw.choice(["mangle", "filter", "nat", "é"])
    chain, other = draw.choice(NAMES), draw.choice(NAMES)
    hook = draw.choice(["prerouting", "postrouting", "input", "output"])
    flags = draw.choice(["", "flags dormant;"])
    made = draw.choice(["", f"type filter hook {hook} priority {draw.randint(-300, 300)}; policy drop;"])
    rule = draw.choice(
        [
            *(f"jump {other}", f"goto {other}", "accept", "counter drop", 'comment "MNP-I-net1"', "queue num 1"),
            *("ip saddr { 10.0.0.0/8, 192.0.2.1 } accept", "meta mark set 1", "tcp dport vmap { 80 : accept }"),
        ]
    )
    text = f"table {family} {table} {{ {flags}\n chain {other} {{ }}\n chain {chain} {{ {made}\n {rule}\n }} }}\n"
    quietly(pod, "nft", "-f", "-", text=text)


def delete(pod, draw):
    what = draw.choice(["flush ruleset", "delete table ip mangle", "flush chain ip mangle MNP-INGRESS"])
    quietly(pod, "nft", what)


def sets(pod, draw):
    name = draw.choice([*SETS, *pod.ipset("list", "-n").split()])
    other = draw.choice(SETS)
    quietly(
        pod,
        "ipset",
        *draw.choice(
            [
                ["create", name, *draw.choice(TYPES).split()],
                ["swap", name, other],
                ["rename", name, other],
                ["flush", name],
                ["destroy"],
                ["add", name, draw.choice(["10.0.0.9", "0.0.0.0/1", "fd00::9", "10.0.0.9,tcp:80"])],
                ["add", name, "10.0.0.0/9", "nomatch"],
            ]
        ),
    )


def rules(pod, draw):
    tool = f"{draw.choice(['iptables', 'ip6tables'])}-{pod.way}"
    table, chain = draw.choice(["mangle", "filter", "raw"]), draw.choice([*NAMES, "INPUT", "POSTROUTING"])
    verb = draw.choice([["-N"], ["-F"], ["-X"], ["-I", "-j", "ACCEPT"], ["-A", "-j", draw.choice(NAMES)], ["-Z"]])
    quietly(pod, tool, "-t", table, verb[0], chain, *verb[1:])
    quietly(pod, tool, "-t", table, "-P", draw.choice(["INPUT", "PREROUTING"]), draw.choice(["DROP", "ACCEPT"]))


def litter(pod, draw):
    for _ in range(draw.randint(1, 6)):
        draw.choice([nft, sets, rules, rules, sets, delete] if pod.way == "nft" else [sets, rules])(pod, draw)


def check(pod):
    """Enforced or refused, soon; and read without anything but an error that says so."""
    began = time.monotonic()
    try:
        pod.enforce(EVERYTHING)
        assert pod.run(lambda: pod.applier.is_in_force(RULESET))
        refused = ""
    except ApplyError as error:
        refused = str(error)
    for read in (pod.applier.installed, pod.applier.generation, pod.applier.counters):
        with suppress(ApplyError):
            pod.run(read)
    assert time.monotonic() - began < SOON
    return refused


def rounds(pod, number, seed):
    draw = random.Random(seed)  # noqa: S311 # any will do
    refused = []
    for _ in range(number):
        litter(pod, draw)
        refused.append(check(pod))
        if refused[-1]:
            with suppress(ApplyError):
                pod.run(pod.applier.remove)
            quietly(pod, "nft", "flush", "ruleset")
            for tool in ("iptables", "ip6tables"):
                for table in ("mangle", "filter", "raw"):
                    quietly(pod, f"{tool}-legacy", "-t", table, "-F")
                    quietly(pod, f"{tool}-legacy", "-t", table, "-X")
            quietly(pod, "ipset", "destroy")
            assert check(pod) == ""
    return [each for each in refused if each]


def test_a_littered_pod_is_enforced_or_refused(pod):
    """S60, S63."""
    for words in rounds(pod, 25, "quick"):
        assert ": " in words


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_littered_pod_is_enforced_or_refused_for_long(pod):
    """S60, S63: in some two minutes."""
    refused = rounds(pod, 1500, "long")
    print(f"{pod.way}: {len(refused)} of 1500 refused: {sorted(set(refused))}")  # noqa: T201 - the figure


# --- sizes ------------------------------------------------------------------------------------------------------


def memory():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def many_rules(pod):
    rule = f'-A PREROUTING -m comment --comment "{"x" * 200}"\n'
    quietly(pod, f"iptables-{pod.way}-restore", text=f"*mangle\n{rule * 60_000}COMMIT\n")


def test_a_table_that_is_too_large_to_be_read_is_refused(pod, monkeypatch):
    """The pod alone, with a remedy, in bounded memory; and it is enforced when the table has gone."""
    monkeypatch.setattr(netlink, "MOST_BYTES", 16 << 20)  # iptables-nft takes minutes for more
    many_rules(pod)
    before = memory()
    with pytest.raises(
        ApplyError, match=r"16 MiB.*: remove the entries that a process in the pod added, or restart the pod"
    ):
        pod.enforce(EVERYTHING)
    assert memory() - before < MUCH
    quietly(pod, f"iptables-{pod.way}", "-t", "mangle", "-F")
    pod.enforce(EVERYTHING)
    assert pod.run(lambda: pod.applier.is_in_force(RULESET))


def test_foreign_members_by_the_million_are_not_read(pod, monkeypatch):
    """S63: they are noticed by their number, and the set is made anew."""
    monkeypatch.setattr(versioned_sets, "_MOST", 10_000)
    pod.enforce(EVERYTHING)
    generation, before = pod.generation(), memory()
    (name,) = [name for name in pod.ipset("list", "-n").split() if name.startswith(f"mnp4-{GROUP}")]
    too_many = (f"11.{n >> 16}.{n >> 8 & 255}.{n & 255}" for n in range(20_000))
    quietly(pod, "ipset", "restore", text="".join(f"add {name} {address}\n" for address in too_many))
    began = time.monotonic()
    assert pod.generation() != generation
    assert not pod.run(lambda: pod.applier.is_in_force(RULESET))
    assert pod.installed().digest == ""
    assert time.monotonic() - began < SOON
    pod.enforce(EVERYTHING)
    assert pod.run(lambda: pod.applier.is_in_force(RULESET))
    assert memory() - before < MUCH


def test_thousands_of_sets_by_our_names(pod):
    letters = str.maketrans("0123456789", "abcdefghij")
    names = [f"mnp4-{f'{number:020}'.translate(letters)}-{pod.way[0]}1" for number in range(2000)]
    quietly(pod, "ipset", "restore", text="".join(f"create {name} hash:ip hashsize 64\n" for name in names))
    assert check(pod) == ""
    assert len(pod.ipset("list", "-n").split()) < 100


def tables_without_end():
    """Make tables of a chain each, as many as the kernel takes in a few seconds; returns how many."""
    until, made = time.monotonic() + 2.5, 0
    while made < 20_000 and time.monotonic() < until:
        batch = BatchWriter()
        for index in range(500):
            table = TableWriter(batch, 4, f"t{made + index}")
            table.new_table()
            table.new_chain("MNP-INGRESS")
        with Nfnetlink() as kernel:
            kernel.commit(batch.batch())
        made += 500
    return made


@pytest.mark.parametrize("way", ["nft"])
def test_tables_by_the_thousand_slow_nothing_down(pod):
    """Ours are read by name; chains the kernel lists only for all tables of a family together, as far as the limit."""
    pod.enforce(EVERYTHING)
    made = pod.run(tables_without_end)

    def work():
        began = time.thread_time()
        pod.applier.apply(RULESET)
        pod.applier.generation()
        assert pod.applier.installed().digest == RULESET.digest
        return time.thread_time() - began

    assert pod.run(work) < 0.2 + made * 60e-6  # seconds


# --- bytes ------------------------------------------------------------------------------------------------------

nested = st.recursive(
    st.binary(max_size=12),
    lambda inner: st.lists(st.tuples(st.integers(0, 30), inner), max_size=4).map(
        lambda found: b"".join(attribute(kind, value) for kind, value in found)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.integers(0, 12), nested | st.binary(max_size=40), max_size=8))
def test_no_bytes_of_a_rule_raise_anything(found):
    assert isinstance(nft_tables.parse_rule(found, first=True).content, bytes)
    assert list(nft_tables.ours([found])) is not None


@given(nested | st.binary(max_size=60))
def test_no_bytes_of_a_set_raise_anything(data):
    with suppress(ApplyError):
        ipset._header(dict(attributes(data)))
    for parse in (ipset._plain_addresses, ipset._elements):
        assert isinstance(parse(data), frozenset)


@given(st.sampled_from([4, 6]), st.binary(max_size=600), st.lists(st.integers(0, 600), max_size=10))
def test_no_bytes_of_a_legacy_table_raise_anything_unforeseen(family, data, offsets):
    hooks = Hooks(entries=dict(enumerate(offsets[:5])), underflows=dict(enumerate(offsets[5:])))
    with suppress(ApplyError, LookupError, ValueError, struct.error):  # `sockopt.read` makes an ApplyError of them
        decode(LAYOUTS[family], hooks, data)
