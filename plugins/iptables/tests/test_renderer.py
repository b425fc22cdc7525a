"""The text: canonical, the same in every process, membership apart, and valid for iptables."""

import re
from ipaddress import ip_network
from pathlib import Path

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from mnp_core.errors import InputError
from mnp_core.model import Block, CustomRules, DeniedLog, DenyAction, Direction, EstablishedFlows, GroupDelta
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
from mnp_iptables.names import ChainName
from mnp_iptables.render.matches import OPENING, port_matches
from mnp_iptables.sets.set_types import combine
from plugins.iptables.tests.pods import renderer

render, render_delta = renderer.render, renderer.render_delta
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
    "custom": (CustomRules(direction=Direction.INGRESS, family=4, lines=("# web", "-p tcp --dport 9999 -j ACCEPT")),),
    "deny_action": DenyAction.REJECT,
    "established_flows": EstablishedFlows.RECHECK,
}
POLICIES = {
    "defaults": POLICY,
    "settings": evolve(POLICY, common=evolve(POLICY.common, **SETTINGS)),
    "log-denied": evolve(POLICY, common=evolve(POLICY.common, denied_log=DeniedLog())),
}


@pytest.mark.parametrize("name", POLICIES)
def test_text_of_a_policy(name):
    """Review the files when they change: every pod gets these rules."""
    assert render(POLICIES[name]).text == (GOLDEN / f"{name}.txt").read_text()


def test_a_log_adds_rules_and_changes_none():
    """Section 7: without the setting there is nothing of it."""
    plain, logged = (render(POLICIES[name]).text.splitlines() for name in ("defaults", "log-denied"))
    digest = render(POLICY).digest
    kept = [line for line in logged if "NFLOG" not in line]
    assert [line.replace(render(POLICIES["log-denied"]).digest, digest) for line in kept] == plain
    assert len(logged) - len(plain) == 6  # three isolated directions in two families


def test_the_digest_is_about_rules_and_not_about_members():
    """S62."""
    other_members = sandbox(
        *POLICY.interfaces, groups=[addresses(GROUP, "10.9.9.9"), endpoints(OTHER_GROUP, ("10.9.9.9", "TCP", 1))]
    )
    assert render(other_members).digest == render(POLICY).digest
    assert render(other_members).sets != render(POLICY).sets
    assert render(only(ingress=DENY)).digest != render(only(egress=DENY)).digest
    assert f":MNP-{render(POLICY).digest} - [0:0]" in render(POLICY).text


def test_a_delta_names_additions_and_removals():
    before, after = addresses(GROUP, "10.0.0.1", "fd00::1"), addresses(GROUP, "10.0.0.2", "fd00::1", "::")
    delta = render_delta(GroupDelta(before=before, after=after))
    assert delta.text == f"del mnp4-{GROUP} 10.0.0.1\nadd mnp4-{GROUP} 10.0.0.2\n"
    assert delta.added == {f"mnp4-{GROUP}": {"10.0.0.2"}}
    assert delta.removed == {f"mnp4-{GROUP}": {"10.0.0.1"}}


def test_both_sets_of_a_group_are_always_there():
    """Membership is the same transaction in every sandbox."""
    found = render(only(ingress=isolated(allow([GROUP])), groups=[addresses(GROUP, "10.0.0.1")]))
    assert found.sets == {f"mnp4-{GROUP}": {"10.0.0.1"}, f"mnp6-{GROUP}": set()}


def test_many_ports_are_cut_into_matches_that_are_short_enough():
    """S32: fifteen places, of which a range takes two."""
    ports = [f"TCP/{100 * n}-{100 * n + 9}" for n in range(1, 9)] + [f"TCP/{10_000 + 2 * n}" for n in range(30)]
    found = list(port_matches(allow(ports=ports).ports, OPENING[Direction.INGRESS]))
    lists = [match.removeprefix("-p tcp -m multiport --dports ") for match in found]
    assert all(len(re.split("[:,]", each)) <= 15 for each in lists)
    assert sorted(",".join(lists).split(",")) == sorted(p.removeprefix("TCP/").replace("-", ":") for p in ports)


@given(st.lists(st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 32)), max_size=6), st.data())
def test_blocks_become_disjoint_networks_that_mean_the_same(spans, data):
    """S23."""
    cidrs = [ip_network(span, strict=False) for span in spans]
    excepts = tuple(ip_network((data.draw(st.sampled_from(cidrs))[0], 30), strict=False) for _ in cidrs[:1])
    blocks = [Block(cidr=cidr, excepts=tuple(e for e in excepts if e.subnet_of(cidr))) for cidr in cidrs]
    found = combine(blocks, 4)
    for probe in {edge for cidr in (*cidrs, *excepts) for edge in (cidr[0], cidr[-1])}:
        hits = sum(probe in cidr for cidr in found.cidrs)
        assert hits <= 1
        assert (found.everything or hits == 1) is any(block.contains(probe) for block in blocks)


@given(
    st.binary(min_size=1, max_size=15).map(lambda name: name.decode(errors="surrogateescape")),
    st.sampled_from(["", *"RNPD", "1", "z", "10", "zz"]),
)
def test_chains_name_their_interface(name, part):
    chain = ChainName(direction=Direction.EGRESS, interface=name, part=part)
    assert len(str(chain)) <= 28  # iptables' limit
    assert ChainName.parse(str(chain)) == chain


@pytest.mark.parametrize(
    "line", ["-j ACCEPT\n-F", '-m comment --comment "open', "-m comment --comment 'x'", "-j ACCEPT \\", "a\0b"]
)
def test_a_custom_line_that_is_not_one_rule_is_refused(line):
    custom = CustomRules(direction=Direction.INGRESS, family=6, lines=(line,))
    with pytest.raises(InputError, match="custom rules for IPv6 ingress"):
        render(only(ingress=DENY, custom=(custom,)))
