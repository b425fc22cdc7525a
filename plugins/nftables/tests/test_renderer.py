"""The text: canonical, the same in every process, membership apart."""

import random
import re
import subprocess
import sys
from ipaddress import ip_network
from pathlib import Path

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from mnp_core.errors import InputError
from mnp_core.model import (
    Audited,
    Block,
    CommonRules,
    CustomRules,
    DeniedLog,
    DenyAction,
    Direction,
    EstablishedFlows,
    GroupDelta,
    LinkPath,
    Peers,
    PortRange,
    Protocol,
    address_ranges,
)
from mnp_nftables import NftablesRenderer
from mnp_nftables.matches import OPENING, allow_matches
from mnp_nftables.names import ChainName, interface_name
from plugins.nftables.tests.policies import (
    DENY,
    GROUP,
    OTHER_GROUP,
    POD,
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

render = NftablesRenderer().render
render_delta = NftablesRenderer().render_delta
GOLDEN = Path(__file__).parent / "golden"

POLICY = sandbox(
    interface(
        "net1",
        ingress=isolated(
            allow([GROUP, "10.0.0.0/8", "fd00::/8", "192.0.2.7/32"], ["TCP/80", "TCP/443", "UDP/5000-6000"]),
            allow(ports=["SCTP"], source=origin(1)),
        ),
        egress=isolated(allow(["0.0.0.0/0"], source=origin(direction=Direction.EGRESS)), allow_endpoints(OTHER_GROUP)),
    ),
    interface("net2", ingress=DENY),
    interface("net3"),
    groups=[
        addresses(GROUP, "10.0.0.3", "10.0.0.2", "fd00::2"),
        endpoints(OTHER_GROUP, ("10.0.0.2", "TCP", 8080), ("fd00::2", "SCTP", 80)),
    ],
)
SETTINGS = {
    "accept_icmp": True,
    "accept_icmpv6": True,
    "accept_multicast_management": True,
    "allow_src_prefixes": (ip_network("fe80::/10"),),
    "allow_dst_prefixes": (ip_network("fe80::/10"), ip_network("ff00::/8")),
    "custom": (CustomRules(direction=Direction.INGRESS, family=4, lines=("# web", "tcp dport 9999 accept")),),
    "deny_action": DenyAction.REJECT,
    "established_flows": EstablishedFlows.RECHECK,
}


COMMON = {"defaults": {}, "settings": SETTINGS, "log-denied": {"denied_log": DeniedLog()}}


@pytest.mark.parametrize("name", COMMON)
def test_text_of_a_policy(name):
    """Review the files when they change: every pod gets these rules."""
    common = evolve(POLICY.common, **COMMON[name])
    assert render(evolve(POLICY, common=common)).text == (GOLDEN / f"{name}.nft").read_text()


def test_a_log_adds_rules_and_changes_none():
    """Section 7: without the setting there is nothing of it."""
    logged = render(evolve(POLICY, common=evolve(POLICY.common, denied_log=DeniedLog())))
    kept = [line for line in logged.text.splitlines() if "log prefix" not in line]
    assert [line.replace(logged.digest, render(POLICY).digest) for line in kept] == render(POLICY).text.splitlines()
    assert logged.text.count("log prefix") == 3


def test_order_never_matters():
    """S11."""
    shuffle = random.Random(1)  # noqa: S311 # any order does
    for _ in range(20):
        assert render(shuffled(POLICY, shuffle)) == render(POLICY)


def shuffled(policy, source):
    def mixed(values):
        return tuple(source.sample(values, len(values)))

    def direction(rules):
        return evolve(rules, allows=mixed(tuple(map(rule, rules.allows)))) if hasattr(rules, "allows") else rules

    def rule(allowed):
        if isinstance(getattr(allowed, "peers", None), Peers):
            peers = evolve(allowed.peers, blocks=mixed(allowed.peers.blocks), groups=mixed(allowed.peers.groups))
            return evolve(allowed, peers=peers, ports=evolve(allowed.ports, ranges=mixed(allowed.ports.ranges)))
        return allowed

    found = (evolve(each, ingress=direction(each.ingress)) for each in mixed(policy.interfaces))
    return evolve(policy, interfaces=tuple(found), groups=dict(mixed(tuple(policy.groups.items()))))


def test_every_process_writes_the_same():
    """S62: sets have no order of their own, and another one in each process."""
    ask = "from plugins.nftables.tests.test_renderer import *; print(render(POLICY).text, end='')"
    root = Path(__file__).parents[3]
    for seed in "123":
        done = subprocess.run(
            [sys.executable, "-c", ask],
            check=True,
            capture_output=True,
            text=True,
            cwd=root,
            env={"PYTHONHASHSEED": seed},
        )
        assert done.stdout == render(POLICY).text


def test_the_digest_is_about_rules_and_not_about_membership():
    """S62."""
    digest = render(POLICY).digest
    grown = evolve(POLICY, groups={**POLICY.groups, GROUP: addresses(GROUP, "10.0.0.9")})
    assert render(grown).digest == digest
    assert render(grown).sets != render(POLICY).sets
    assert digest in render(POLICY).text
    for other in (
        evolve(POLICY, interfaces=POLICY.interfaces[:1]),
        evolve(POLICY, common=evolve(POLICY.common, accept_icmp=True)),
        evolve(POLICY, groups={**POLICY.groups, "c" * 20: addresses("c" * 20)}),
    ):
        assert render(other).digest != digest


def test_isolated_without_rules_and_open_are_opposites():
    """S11, S12."""
    assert "goto" not in render(only()).text
    assert 'iifname "net1" goto ingress-net1' in render(only(ingress=DENY)).text


def test_a_delta_is_the_same_wherever_the_group_is_used():
    """S61."""
    before, after = addresses(GROUP, "10.0.0.2", "fd00::2"), addresses(GROUP, "10.0.0.3", "fd00::2")
    delta = render_delta(GroupDelta(before=before, after=after))
    assert delta.added == {f"g4-{GROUP}": frozenset({"10.0.0.3"})}
    assert delta.removed == {f"g4-{GROUP}": frozenset({"10.0.0.2"})}
    lines = f"create element inet mnp g4-{GROUP} {{", "\t10.0.0.3", "}"
    assert delta.text.splitlines()[:3] == [*lines]
    assert delta.text.splitlines()[3:] == [line.replace("create", "delete").replace(".3", ".2") for line in lines]


# --- matches ----------------------------------------------------------------------------------------------------


def matches(*arguments):
    return written(allow(*arguments), Direction.INGRESS)


def written(rule, direction):
    fields = OPENING[direction]
    return [term.words for match in allow_matches(rule, fields) for term in match.terms(fields)]


@pytest.mark.parametrize(
    ("peers", "ports", "expected"),
    [
        (["10.0.0.0/8", "10.1.0.0/16", "11.0.0.0/8"], ["TCP/80"], ["tcp dport 80 ip saddr 10.0.0.0/7"]),
        (["10.0.0.0/31", "10.0.0.2/32"], ["TCP"], ["meta l4proto tcp ip saddr 10.0.0.0-10.0.0.2"]),
        (["0.0.0.0/0", GROUP], ["UDP/1"], ["udp dport 1 meta nfproto ipv4", f"udp dport 1 ip6 saddr @g6-{GROUP}"]),
        (["::/0"], ["TCP", "TCP/80"], ["meta l4proto tcp meta nfproto ipv6"]),
        (["::1/128"], ["TCP/0-100", "TCP/101-65535"], ["meta l4proto tcp ip6 saddr ::1"]),
        (["::1/128"], ["TCP/1-65535"], ["tcp dport 1-65535 ip6 saddr ::1"]),
        (
            ["::1/128"],
            ["TCP/1", "TCP/2-3", "TCP/5", "TCP/7"],
            ["tcp dport { 5, 7 } ip6 saddr ::1", "tcp dport 1-3 ip6 saddr ::1"],
        ),
        ([], ["TCP/80"], []),
        (["10.0.0.1/32"], [], []),
    ],
)
def test_matches(peers, ports, expected):
    """S22, S23, S25, S30."""
    assert matches(peers, ports) == expected


def test_an_except_is_a_hole():
    """S23."""
    block = Block(cidr=ip_network("10.0.0.0/8"), excepts=(ip_network("10.0.0.0/9"),))
    rule = evolve(allow([]), peers=Peers(blocks=(block,)))
    assert written(rule, Direction.EGRESS) == ["ip daddr 10.128.0.0/9"]


@given(st.lists(st.tuples(st.integers(0, 65535), st.integers(0, 400)), max_size=60))
def test_ports_are_written_merged(spans):
    """S30."""
    ranges = [PortRange(protocol=Protocol.TCP, first=first, last=min(first + size, 65535)) for first, size in spans]
    texts = matches(["10.0.0.1/32"], [f"TCP/{each.first}-{each.last}" for each in ranges])
    found = set()
    for text in texts:
        numbers = text.partition("dport ")[2].partition(" ip saddr")[0].strip("{ }") if "dport" in text else "0-65535"
        for part in numbers.split(", "):
            first, _, last = part.partition("-")
            found.update(range(int(first), int(last or first) + 1))
    assert found == {number for each in ranges for number in range(each.first, each.last + 1)}


@given(st.lists(st.tuples(st.integers(0, 2**32 - 1), st.integers(20, 32)), max_size=40))
def test_blocks_are_written_merged(spans):
    """S23."""
    blocks = [str(ip_network((start, length), strict=False)) for start, length in spans]
    expected = {(str(r.first), str(r.last)) for r in address_ranges([Block(cidr=ip_network(b)) for b in blocks], 4)}
    found = set()
    for text in matches(blocks):
        mask, _, values = text.removeprefix("ip saddr ").removeprefix("& ").rpartition("{")
        for part in values.strip("{ }").split(", "):
            first, dash, last = part.partition("-")
            cidr = ip_network("0.0.0.0/0" if dash else f"{first}/{mask.strip()}" if mask else first)
            found.add((first, last) if dash else (str(cidr[0]), str(cidr[-1])))
    assert found == expected


def test_many_blocks_are_looked_up_by_the_length_of_their_prefix():
    """S23: hash sets, the longest one first; not for lengths without end."""
    short = [f"10.{number}.0.0/16" for number in range(0, 60, 2)]
    long = [f"fd00:{number}::/32" for number in range(0, 40, 2)]
    some = ["192.0.2.7/32", "192.0.2.9/32", "192.0.2.128/25"]
    (first, second, third, fourth) = matches([*short, *some, *long])
    assert first.startswith("ip saddr & 255.255.0.0 { 10.0.0.0, 10.2.0.0, ")
    assert second == "ip saddr { 192.0.2.7, 192.0.2.9 }"
    assert third == "ip saddr & 255.255.255.128 { 192.0.2.128 }"
    assert fourth.startswith("ip6 saddr & ffff:ffff:: { fd00::, fd00:2::, ")
    many = [f"{number}.0.0.0/{8 + number % 9}" for number in range(10, 100, 2)]
    assert matches(many)[0].startswith("ip saddr { 10.0.0.0/")


# --- many rules -------------------------------------------------------------------------------------------------

SOME_PORTS = ("TCP/80", "UDP/80", "UDP/53", "UDP/50-60", "TCP")


def many(number, **changed):
    return [allow([GROUP], [SOME_PORTS[n % 5]], source=origin(n), **changed) for n in range(number)]


def test_a_packet_meets_the_rules_of_its_family_and_ports():
    text = render(only(ingress=isolated(*many(20), allow([OTHER_GROUP], source=origin(20))))).text
    (name,) = re.findall(r"\t\ttcp dport 80 meta nfproto ipv4 jump (ingress\.\d+-net1)\n", text)
    (chain,) = [part for part in text.split("\tchain ") if part.startswith(name)]
    rules = [line.strip().partition(" counter")[0] for line in chain.splitlines()[1:3]]
    assert rules == [f"ip saddr @g4-{GROUP}", f"ip saddr @g4-{OTHER_GROUP}"]
    assert "ingress[5]" not in text  # the same packets as of the first rule


def test_few_rules_and_rules_of_very_many_ports_stay_in_a_row():
    assert "jump" not in render(only(ingress=isolated(*many(2)))).text
    odd = [allow([GROUP], [f"TCP/{n}" for n in range(1 + number, 400, 2)], source=origin(number)) for number in (0, 1)]
    assert "jump" not in render(only(ingress=isolated(*many(20), *odd))).text


# --- names ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["", "lo", ".", "..", "a b", "a/b", "a:b", "a\nb", "a\0b", "x" * 16, "é" * 8, "a\u2028b\xa0", "\ud800", "à"],
)
def test_interface_names_that_the_kernel_refuses_are_refused(name):
    """S44, and dev_valid_name() of the kernel, to which the second byte of à is a space."""
    with pytest.raises(InputError, match="Pod default/pod: interface: "):
        interface_name(name, pod=POD)
    with pytest.raises(InputError):
        render(sandbox(interface(name, ingress=DENY)))


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a*", r'"a\*" '),
        ("a*b", '"a*b" '),
        ("é+@", '"é+@" '),
        ("a\\b'$", '"a\\b\'$" '),
        ('a"b', '"a%22b" '),
        ("a\x1b[1m", '"a%1B[1m" '),
        ("\udcff", '"%FF" '),
    ],
)
def test_any_other_interface_name_is_shown_as_nft_writes_it_or_the_text_says_that_it_cannot(name, shown):
    """S64: a name that is not understood would leave the interface open."""
    (line,) = [line for line in render(sandbox(interface(name, ingress=DENY))).text.splitlines() if "iifname" in line]
    assert shown in line
    assert ("# nft has no way to write this name" in line) is ("%" in shown)


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=15))
def test_chain_names_lead_back_to_the_interface(name):
    for chain in (
        ChainName(direction=Direction.EGRESS, interface=name),
        ChainName(direction=Direction.INGRESS, interface=name, replies=True),
        ChainName(direction=Direction.INGRESS, interface=name, part=12),
    ):
        assert ChainName.parse(str(chain)) == chain


@pytest.mark.parametrize(
    "line", ["accept; flush ruleset", "tcp dport 1 \\", 'counter comment "open', "accept\naccept", "a\0b"]
)
def test_a_custom_rule_is_one_rule(line):
    """Section 7: a slip in a file on the node must not become another command."""
    custom = CustomRules(direction=Direction.INGRESS, family=4, lines=(line,))
    with pytest.raises(InputError, match="custom rules for IPv4 ingress"):
        render(only(ingress=DENY, custom=(custom,)))


def test_a_group_that_has_no_proper_identity_is_refused():
    with pytest.raises(InputError, match="group"):
        render(only(ingress=DENY, groups=[addresses("a; flush ruleset")]))


BRIDGED = evolve(
    POLICY,
    interfaces=tuple(
        evolve(each, path=LinkPath.BRIDGED, carrier="37a8-nic") if each.interface == "net1" else each
        for each in POLICY.interfaces
    ),
)


def test_a_bridged_interface_has_a_second_table_and_the_first_stays_as_it_is():
    ruleset, plain = render(BRIDGED), render(POLICY)
    assert ruleset.text.startswith(plain.text)
    frames = ruleset.text.removeprefix(plain.text)
    assert frames == (GOLDEN / "bridged.nft").read_text()
    assert (ruleset.sets, ruleset.digest != plain.digest) == (plain.sets, True)


def test_frames_are_told_apart_before_any_connection_is_looked_up():
    chain = render(BRIDGED).frames.text.partition("chain ingress-net1 {\n")[2].splitlines()
    guards = (
        "ether type arp",
        "ether type vlan",
        "ether type 8021ad",
        "ether type != ip ether type != ip6",
        "ct state",
    )
    assert [line.strip().startswith(guard) for line, guard in zip(chain, guards, strict=False)] == [True] * 5


def test_denied_frames_are_dropped_where_others_are_rejected():
    """S48: bridges have no reject where egress is judged."""
    text = render(evolve(BRIDGED, common=CommonRules(deny_action=DenyAction.REJECT))).frames.text
    assert "reject" not in text
    assert text.count('counter drop comment "denied"') == 2


def test_an_audited_bridged_interface_lets_every_frame_pass():
    """S71."""
    audited = interface("net1", ingress=Audited())
    text = render(evolve(BRIDGED, interfaces=(evolve(audited, path=LinkPath.BRIDGED, carrier="nic"),))).frames.text
    assert "drop" not in text
    assert text.count("would-deny") == 4
