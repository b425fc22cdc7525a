"""Lists of blocks as sets: a CIDR that comes or goes is an element, and no packet of one that stays is lost."""

import json
from ipaddress import ip_address, ip_network
from itertools import pairwise

import pytest
from attrs import evolve
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mnp_core.model import BlocksDelta, CommonRules, EstablishedFlows, Peers
from mnp_core.sandbox.netns import run_inside
from mnp_core.testing import nft
from mnp_core.testing.builders import block
from mnp_core.testing.flood import ALLOWED, DENIED, counted, flood
from mnp_core.testing.lifecycle import changed_by
from mnp_core.testing.netns import private_namespace
from mnp_nftables import NftablesApplier, NftablesRenderer
from mnp_nftables.blocks import PREFIX_LENGTHS, form_of, list_changes
from plugins.nftables.tests.policies import GROUP, addresses, allow, interface, isolated, sandbox
from plugins.nftables.tests.test_no_open_moment import COUNTERS
from plugins.nftables.tests.test_text_and_messages import same
from plugins.nftables.tests.wire import PEER, POD

renderer, applier = NftablesRenderer(), NftablesApplier()
LIST = "l" * 20
MANY = [block(f"10.{number}.0.0/16", f"10.{number}.{number}.0/24") for number in range(1, 20)]  # excepts in 38 ranges

plain = [
    block(each)
    for each in ("10.0.0.0/24", "10.0.1.0/24", "10.0.0.0/16", "10.0.0.7/32", "10.0.0.8/32", "0.0.0.0/1", "128.0.0.0/1")
]
excepted = [
    block("10.0.0.0/16", "10.0.1.0/24"),
    block("10.0.1.0/24", "10.0.1.128/25"),
    block("10.1.0.0/16", "10.1.0.0/17"),
]
six = [block("fd00::/64"), block("fd00::7/128"), block("fd00::/64", "fd00::7/128"), block("::/0")]
of_many_lengths = [block(f"10.9.0.0/{length}") for length in range(16, 16 + PREFIX_LENGTHS)]
lists = st.lists(
    st.sampled_from([*plain, *excepted, *six, *of_many_lengths, block("0.0.0.0/0")]),
    min_size=1,
    max_size=14,
    unique=True,
)


def policy(blocks, **common):
    """The list in both directions of two interfaces, and a group beside it."""
    listed = evolve(
        allow([GROUP], ["TCP/80", f"UDP/{ALLOWED}"]), peers=Peers(blocks=blocks, groups=(GROUP,), list_id=LIST)
    )
    rules = isolated(listed, allow(["10.3.0.0/16"]))
    each = [interface(name, ingress=rules, egress=rules) for name in ("net1", "net2")]
    return evolve(sandbox(*each, groups=[addresses(GROUP, "10.2.0.1")]), common=CommonRules(**common))


def delta_of(before, after):
    ordered = (Peers(blocks=blocks).blocks for blocks in (before, after))
    return BlocksDelta(id=LIST, before=next(ordered), after=next(ordered))


def applied(sets, delta):
    changed = {name: set(found) for name, found in sets.items()}
    for name, found in delta.removed.items():
        assert found <= changed[name]
        changed[name] -= found
    for name, found in delta.added.items():
        assert not found & changed[name]
        changed[name] |= found
    return changed


def listed():
    """What `nft -j list ruleset` says, without handles: objects by name, rules in their order, elements in any."""
    found = {}
    for entry in json.loads(nft.nft("-j", "list", "ruleset"))["nftables"]:
        for kind, each in entry.items():
            each.pop("handle", None)
            if kind == "rule":
                found.setdefault(("rules", each["chain"]), []).append(each)
            elif kind != "metainfo":
                elements = sorted(map(str, each.pop("elem", ())))
                found[kind, each["name"]] = each, elements
    return found


@given(lists, lists)
def test_a_change_of_blocks_is_one_of_elements_exactly_where_the_rules_stay(before, after):
    """S60: the delta leads to the sets of a fresh rendering, and the digest, which is over the rules, stays."""
    change = delta_of(before, after)
    delta, old, new = (
        renderer.render_blocks_delta(change),
        renderer.render(policy(before)),
        renderer.render(policy(after)),
    )
    assert (delta is None) == (old.digest != new.digest)
    if delta is not None:
        assert applied(old.sets, delta) == {name: set(found) for name, found in new.sets.items()}


def test_one_cidr_more_is_one_element():
    """Whatever touches it: nothing else is written."""
    delta = renderer.render_blocks_delta(delta_of(plain[:5], [*plain[:5], block("10.0.2.0/24")]))
    assert delta.added == {f"b4-24-{LIST}": frozenset({"10.0.2.0"})}
    assert delta.removed == {}
    assert delta.text == f"create element inet mnp b4-24-{LIST} {{\n\t10.0.2.0\n}}\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (plain[:2], plain[:3]),
        (plain[:2], [*plain[:2], excepted[0]]),
        (plain[:2], [*plain[:2], block("0.0.0.0/0")]),
        (plain[:2], [*plain[:2], six[0]]),
        (of_many_lengths, [*of_many_lengths, block("10.9.0.0/30")]),
    ],
)
def test_another_length_or_range_is_another_rule(before, after):
    assert list_changes(delta_of(before, after)) is None
    assert list_changes(delta_of(after, before)) is None


def test_equal_lists_of_two_interfaces_are_one_set():
    text = renderer.render(policy(plain[:2])).text
    assert text.count(f"set b4-24-{LIST} {{") == 1
    assert text.count(f"@b4-24-{LIST}") == 8  # both directions of two interfaces, two protocols


def test_equal_lists_of_many_rulesets_are_in_memory_once():
    """Whatever is remembered of them: the agent keeps the sets of each pod's rules."""
    one, other = (renderer.render(policy([*plain[:2]])).sets[f"b4-24-{LIST}"] for _ in range(2))
    assert one is other


@pytest.mark.root
@pytest.mark.parametrize("common", [{}, {"established_flows": EstablishedFlows.RECHECK}], ids=["keep", "recheck"])
@pytest.mark.parametrize("blocks", [plain[:5], [*plain[:2], *excepted, *six[:3]], [*MANY, *plain[:3]], of_many_lengths])
def test_text_and_messages_of_lists_say_the_same(blocks, common):
    with private_namespace() as ours, private_namespace() as theirs:
        same((ours, theirs), policy(blocks, **common))


@pytest.mark.root
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(lists, min_size=2, max_size=12))
def test_random_changes_leave_what_a_fresh_replacement_leaves(states):
    """S60, S61: by elements where that is possible, whole where it is not; the kernel's dumps are equal."""
    with private_namespace() as ours, private_namespace() as theirs:
        now = policy(states[0])
        run_inside(ours, lambda: applier.apply(renderer.render(now)))
        for before, after in pairwise(states):
            change = delta_of(before, after)
            delta, now = renderer.render_blocks_delta(change), changed_by(now, change)
            if delta is None:
                run_inside(ours, lambda now=now: applier.apply(renderer.render(now)))
            elif delta.text:
                assert run_inside(ours, lambda delta=delta: applier.update(delta))
        fresh = renderer.render(now)
        run_inside(theirs, lambda: applier.apply(fresh))
        assert run_inside(ours, listed) == run_inside(theirs, listed)
        assert run_inside(ours, applier.installed).matches(fresh)


@pytest.mark.root
def test_an_element_that_somebody_takes_away_is_drift():
    """S63"""
    ruleset = renderer.render(policy(plain[:2]))
    with private_namespace() as pod:
        run_inside(pod, lambda: applier.apply(ruleset))
        run_inside(pod, lambda: nft.load(f"delete element inet mnp b4-24-{LIST} {{ 10.0.0.0 }}"))
        assert not run_inside(pod, applier.installed).matches(ruleset)


@pytest.mark.root
def test_a_block_that_stays_loses_no_packet_while_others_come_and_go(wire):
    """S60: neighbours that touch it, that lie in it, that it lies in; the peer's own block is in every state."""
    here = ip_address(PEER[4])
    mine = block(f"{here}/32")
    around = [block(f"{here + 1}/32"), block(f"{here - 1}/32")]
    wide = block("10.250.0.0/16")
    states = [
        [mine, wide, *around[: number % 3], *(block(f"10.250.{n}.0/24") for n in range(number + 1))]
        + [block("10.0.0.0/24")] * (number % 2)
        for number in range(9)
    ]
    pod = wire.pod
    pod.enforce(policy(states[0]))
    for port in (DENIED, ALLOWED):
        pod.udp(POD[4], port)
    pod.nft(COUNTERS["ingress"])
    with flood(wire.peer, PEER[4], POD[4]):
        for number in range(300):
            delta = renderer.render_blocks_delta(delta_of(states[number % 9], states[(number + 1) % 9]))
            assert pod.run(lambda delta=delta: applier.update(delta))
    found = counted(pod)
    assert min(found["denied before"], found["allowed before"]) > 3000
    assert found["denied after"] == 0
    assert found["allowed after"] == found["allowed before"]


@given(lists, st.integers(0, 255), st.integers(0, 3))
def test_an_address_is_matched_exactly_if_it_lies_in_a_block(blocks, last, third):
    """S23, by the sets and the ranges."""
    address = ip_address(f"10.0.{third}.{last}")
    form = form_of(Peers(blocks=blocks).blocks, 4, is_named=True)
    prefixes = (str(ip_network(f"{address}/{length}", strict=False).network_address) for length in form.elements)
    listed = any(prefix in found for prefix, found in zip(prefixes, form.elements.values(), strict=True))
    ranged = any(span.first <= address <= span.last for span in form.ranges)
    assert (form.is_whole or listed or ranged) == any(each.contains(address) for each in blocks)
