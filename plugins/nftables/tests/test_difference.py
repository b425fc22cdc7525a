"""A change of rules as the difference alone: the same as a replacement, or nothing (S60)."""

import json
import random
import statistics

import pytest
from attrs import evolve

from mnp_core.model import ANY_PORT, CustomRules, Direction, GroupDelta, KnownRules
from mnp_core.netfilter.kept import close_sockets
from mnp_core.netfilter.messages import DELETE_CHAIN, DELETE_SET, NEW_CHAIN, NEW_RULE, NEW_SET
from mnp_core.testing import nft
from mnp_nftables import NftablesApplier, NftablesRenderer
from mnp_nftables.difference import difference
from plugins.nftables.tests.policies import (
    DENY,
    addresses,
    allow,
    allow_endpoints,
    endpoints,
    interface,
    isolated,
    origin,
    sandbox,
)
from plugins.nftables.tests.test_renderer import BRIDGED

APPLIER, RENDERER = NftablesApplier(), NftablesRenderer()
GROUPS = [letter * 20 for letter in "abcdefghijklmnopqrstuvwxyz"]
ENDPOINTS = "2" * 20
BLOCKS = ["10.0.0.0/24", "10.9.0.0/16", "fd00::/64", "192.168.1.7/32"]
PORTS = ["TCP/80", "UDP/53", "TCP/1-1000", "UDP/5000-6000", "SCTP/7", "TCP/443"]


def known(ruleset):
    return KnownRules(structure=ruleset.structure, sets=ruleset.sets)


def some_policy(chance):
    """Few rules in a row or many in chains, with unions or without, of one interface or more."""
    size = chance.choice([0, 1, 3, 8, 40])
    used = set()

    def direction():
        if not chance.randrange(4):
            return DENY
        allows = []
        for number in range(chance.randint(0, size)):
            group = chance.choice(GROUPS)
            used.add(group)
            peers = [group, *chance.sample(BLOCKS, chance.randint(0, 2))]
            ports = chance.sample(PORTS, chance.randint(1, 2)) if chance.randrange(5) else ANY_PORT
            allows.append(allow(peers, ports, source=origin(name=f"policy-{number}")))
        if not chance.randrange(4):
            used.add(ENDPOINTS)
            allows.append(allow_endpoints(ENDPOINTS))
        return isolated(*allows)

    interfaces = [
        interface(f"net{number}", ingress=direction(), egress=direction()) for number in range(chance.randint(1, 3))
    ]
    groups = [
        addresses(
            group, *(f"10.1.{GROUPS.index(group)}.{n}" for n in chance.sample(range(1, 60), chance.randint(0, 5)))
        )
        for group in sorted(used - {ENDPOINTS})
    ]
    groups += [endpoints(ENDPOINTS, ("10.0.0.2", "TCP", 80))] if ENDPOINTS in used else []
    return sandbox(*interfaces, groups=groups)


def kernel_text(pod):
    """All that nft shows, in a canonical order, without handles and the names that the kernel gives to sets."""
    listed = json.loads(pod.run(lambda: nft.nft("-j", "-s", "list", "ruleset")))["nftables"]
    chains, others = {}, []
    for entry in listed:
        [(kind, found)] = entry.items()
        found.pop("handle", None)
        if kind == "rule":
            chains.setdefault(found["chain"], []).append(found)
        elif kind != "metainfo":
            if kind == "set":
                found["elem"] = sorted(map(json.dumps, found.get("elem", ())))
            others.append(json.dumps([kind, found], sort_keys=True))
    return sorted(others), chains


@pytest.mark.root
@pytest.mark.parametrize("seed", range(6))
def test_differences_one_after_the_other_give_what_replacements_give(pod, seed):
    """S60: the text of the ruleset is what runs, whichever way led to it."""
    chance = random.Random(seed)  # noqa: S311 - no secret
    ruleset = pod.enforce(some_policy(chance))
    for _ in range(8):
        policy = some_policy(chance)
        before, ruleset = ruleset, RENDERER.render(policy)
        if before.digest == ruleset.digest:
            continue
        generation = pod.run(APPLIER.generation)
        done = APPLIER.commit_difference(pod.sandbox, known(before), ruleset, generation)
        assert done == pod.run(APPLIER.generation) == generation + 1
        assert pod.run(APPLIER.installed).matches(ruleset)
        changed = kernel_text(pod)
        pod.run(APPLIER.remove)
        pod.enforce(policy)
        assert changed == kernel_text(pod)


@pytest.mark.root
def test_after_a_foreign_commit_nothing_is_written(pod):
    """S63: whatever it was, the rules are read then."""
    one, other = (RENDERER.render(some_policy(random.Random(seed))) for seed in (1, 2))  # noqa: S311 - no secret
    pod.run(lambda: APPLIER.apply(one))
    generation = pod.run(APPLIER.generation)
    pod.run(lambda: nft.load("add table inet foreign"))
    assert APPLIER.commit_difference(pod.sandbox, known(one), other, generation) is None
    assert pod.run(APPLIER.installed).matches(one)


@pytest.mark.root
@pytest.mark.parametrize(
    "tamper",
    [
        "add set inet mnp new { type ipv4_addr; }",
        "add chain inet mnp new",
        "add element inet mnp g4-aaaaaaaaaaaaaaaaaaaa { 10.7.7.7 }",
    ],
)
def test_a_mistake_about_the_rules_in_force_is_refused_as_a_whole(pod, tamper):
    """S60: a message in the middle of the transaction is refused, and what it found stays."""
    rules = [allow([GROUPS[n]], ["TCP/80"], source=origin(name=f"policy-{n}")) for n in range(20)]
    groups = [addresses(name, "10.0.0.1") for name in GROUPS[:20]]
    before = pod.enforce(sandbox(interface("net1", ingress=isolated(rules[0])), groups=groups[:1]))
    more = [addresses(GROUPS[0], "10.0.0.1", "10.7.7.7"), *groups[1:]]
    after = RENDERER.render(sandbox(interface("net1", ingress=isolated(*rules)), groups=more))
    chain = next(name for name in after.structure.chains if name.startswith("ingress."))
    [made] = [name for name in after.structure.sets if name == f"g4-{GROUPS[19]}"]
    names = {"set inet mnp new": f"set inet mnp {made}", "chain inet mnp new": f"chain inet mnp {chain}"}
    for placeholder, name in names.items():
        tamper = tamper.replace(placeholder, name)
    pod.run(lambda: nft.load(tamper))
    tampered, generation = kernel_text(pod), pod.run(APPLIER.generation)
    assert APPLIER.commit_difference(pod.sandbox, known(before), after, generation) is None
    assert (kernel_text(pod), pod.run(APPLIER.generation)) == (tampered, generation)


@pytest.mark.root
def test_nothing_is_written_where_no_socket_is_open(pod):
    """The calling thread is elsewhere: on the host."""
    one, other = (RENDERER.render(some_policy(random.Random(seed))) for seed in (1, 2))  # noqa: S311 - no secret
    pod.run(lambda: APPLIER.apply(one))
    generation = pod.run(APPLIER.generation)
    close_sockets((pod.sandbox.device, pod.sandbox.inode))
    assert APPLIER.commit_difference(pod.sandbox, known(one), other, generation) is None
    assert pod.run(APPLIER.generation) == generation
    assert APPLIER.commit_difference(pod.sandbox, known(one), other, generation) == generation + 1
    assert pod.run(APPLIER.installed).matches(other)


@pytest.mark.root
def test_members_change_on_the_known_generation_alone_and_are_known_afterwards(pod):
    before, after = addresses(GROUPS[0], "10.0.0.1", "fd00::1"), addresses(GROUPS[0], "10.0.0.2", "fd00::1")
    policy = sandbox(interface("net1", ingress=isolated(allow([GROUPS[0]]))), groups=[before])
    ruleset = pod.enforce(policy)
    delta = RENDERER.render_delta(GroupDelta(before=before, after=after))
    generation = pod.run(APPLIER.generation)
    assert APPLIER.commit_members(pod.sandbox, known(ruleset), [delta], generation - 1) is None
    changed = APPLIER.commit_members(pod.sandbox, known(ruleset), [delta], generation)
    assert changed == pod.run(APPLIER.generation) == generation + 1
    now = known(ruleset).after([delta])
    assert now.sets == pod.run(APPLIER.installed).sets
    closed = RENDERER.render(sandbox(interface("net1", ingress=DENY), groups=[before]))
    assert APPLIER.commit_difference(pod.sandbox, now, closed, changed) is not None
    assert pod.run(APPLIER.installed).matches(closed)


def test_one_more_rule_changes_one_chain_and_no_set_that_was_there():
    few = isolated(allow([GROUPS[0]], ["TCP/80"]))
    more = isolated(allow([GROUPS[0]], ["TCP/80"]), allow([GROUPS[1]], ["TCP/81"], source=origin(name="more")))
    groups = [addresses(name, "10.0.0.1") for name in GROUPS[:2]]
    one = RENDERER.render(sandbox(interface("net1", ingress=few, egress=few), groups=groups[:1]))
    two = RENDERER.render(sandbox(interface("net1", ingress=more, egress=few), groups=groups))
    there, back = difference(known(one), two), difference(known(two), one)
    kinds = [kind for kind, *_ in there.messages()]
    rules = next(chain for chain in two.text.split("\tchain ") if chain.startswith("ingress-net1 {")).count("\n\t\t")
    assert (kinds.count(NEW_SET), kinds.count(NEW_CHAIN), kinds.count(NEW_RULE)) == (2, 0, rules)
    assert GROUPS[0].encode() not in b"".join(body for kind, _, _, body in there.messages() if kind != NEW_RULE)
    assert [kind for kind, *_ in back.messages() if kind in {DELETE_SET, DELETE_CHAIN}] == [DELETE_SET, DELETE_SET]
    assert difference(known(one), two) is there  # shared by pods with equal rules


@pytest.mark.parametrize("count", [12, 60])
def test_one_more_policy_among_many_changes_its_segment_and_leaves_the_others(count):
    """Wherever it stands in their order, few groups or many (unions), and whichever name it has."""
    names = [letter + digit * 19 for letter in "abcdefghijkl" for digit in "234567"][: count + 1]
    rules = [allow([name], ["TCP/80", "UDP/53"], source=origin(name=f"policy-{n}")) for n, name in enumerate(names)]
    groups = [addresses(name, "10.0.0.1") for name in names]
    every = RENDERER.render(sandbox(interface("net1", ingress=isolated(*rules)), groups=groups))
    written = []
    for number in range(count + 1):
        rest, others = ([*each[:number], *each[number + 1 :]] for each in (rules, groups))
        without = RENDERER.render(sandbox(interface("net1", ingress=isolated(*rest)), groups=others))
        changed = [
            name for name, digest in every.structure.chains.items() if without.structure.chains.get(name) != digest
        ]
        assert "ingress-net1" not in changed
        written.append([kind for kind, *_ in difference(known(without), every).messages()].count(NEW_RULE))
    all_rules = [kind for kind, *_ in every.batch.messages()].count(NEW_RULE)
    assert statistics.median(written) < all_rules / 2
    assert max(written) < all_rules * 3 / 4


def test_what_is_compiled_elsewhere_or_in_another_family_is_replaced_as_a_whole():
    plain, bridged = RENDERER.render(evolve(BRIDGED, interfaces=BRIDGED.interfaces[1:])), RENDERER.render(BRIDGED)
    assert difference(known(plain), bridged) is None
    assert difference(known(bridged), plain) is None
    rules = CustomRules(direction=Direction.INGRESS, family=4, lines=("tcp dport 1 accept",), source="a file")
    custom = RENDERER.render(evolve(BRIDGED, common=evolve(BRIDGED.common, custom=(rules,))))
    assert difference(known(bridged), custom) is None
    closed = evolve(BRIDGED, interfaces=tuple(evolve(each, ingress=DENY) for each in BRIDGED.interfaces))
    assert difference(known(bridged), RENDERER.render(closed)).families == (1, 7)
