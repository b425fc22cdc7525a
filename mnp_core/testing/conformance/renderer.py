"""The duties of every renderer: write policy so that it depends on the policy alone. Needs no root."""

import hashlib
import inspect
import json
import random
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import ip_network
from itertools import permutations
from typing import ClassVar

import pytest
from attrs import evolve

from mnp_core.api import BlocksRenderer, PolicyRenderer
from mnp_core.errors import InputError, UnsupportedError
from mnp_core.model import (
    Audited,
    Block,
    BlocksDelta,
    Direction,
    EndpointGroup,
    Feature,
    Group,
    GroupDelta,
    ObjectName,
    Peers,
    Ruleset,
    SandboxPolicy,
)
from mnp_core.plugins import load_plugins
from mnp_core.testing.conformance._shuffled import shuffled
from mnp_core.testing.conformance.base import Conformance, leave_out, missing_hook, shown
from mnp_core.testing.corpus import CORPUS, HOSTILE_INTERFACES, HOSTILE_TEXTS, named_by
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
    sandbox,
    using,
)

every_case = pytest.mark.parametrize("case", CORPUS)

_MEMBERSHIPS: Mapping[str, Group] = {
    "nobody": addresses(GROUP),
    "one": addresses(GROUP, "10.0.0.2"),
    "one of IPv6": addresses(GROUP, "fd00::2"),
    "some": addresses(GROUP, "10.0.0.2", "10.0.0.3", "fd00::2", "fd00::3"),
    "others": addresses(GROUP, "10.0.0.3", "fd00::2", "::1.2.3.4"),
}
_ENDPOINTS: Mapping[str, Group] = {
    "no endpoint": endpoints(GROUP),
    "one endpoint": endpoints(GROUP, ("10.0.0.2", "TCP", 80)),
    "two endpoints": endpoints(GROUP, ("10.0.0.2", "UDP", 80), ("fd00::2", "SCTP", 80)),
    "more endpoints": endpoints(GROUP, ("10.0.0.2", "TCP", 80), ("10.0.0.2", "TCP", 81), ("fd00::2", "SCTP", 80)),
}
_CHANGES = {
    f"{before} to {after}": GroupDelta(before=groups[before], after=groups[after])
    for groups in (_MEMBERSHIPS, _ENDPOINTS)
    for before, after in permutations(groups, 2)
}
every_change = pytest.mark.parametrize("change", _CHANGES)

_LIST = 20 * "b"
_LISTS: Mapping[str, tuple[str, ...]] = {
    "one block": ("10.0.0.0/24",),
    "neighbours": ("10.0.0.0/24", "10.0.1.0/24", "10.0.2.0/24"),
    "nested": ("10.0.0.0/24", "10.0.0.0/26", "10.0.0.1/32"),
    "both families": ("10.0.1.0/24", "fd00::/64", "fd00:0:0:1::/64"),
    "with the whole family": ("10.0.0.0/24", "0.0.0.0/0"),
    "with an except": ("10.0.0.0/24", "10.2.0.0/16 but 10.2.7.0/24"),
}
_BLOCK_CHANGES = {f"{before} to {after}": (before, after) for before, after in permutations(_LISTS, 2)}


class RendererConformance(Conformance, standard=True):
    """For an `mnp_core.api.PolicyRenderer`.

    Attributes:
        refuses: Settings that the renderer cannot write, as its `mnp_core.api.PolicyRendererSpec` declares them. It
            must refuse every policy that uses one, with InputError or UnsupportedError. It has to write every other
            setting.
        refused: Cases of `mnp_core.testing.corpus.CORPUS` that the renderer cannot write for another reason, with
            that reason; it must refuse them in the same way.
    """

    refuses: ClassVar[frozenset[Feature]] = frozenset()
    refused: ClassVar[Mapping[str, str]] = {}

    @classmethod
    def _problems(cls) -> Iterator[str]:
        yield from super()._problems()
        for case, reason in cls.refused.items():
            if case not in CORPUS:
                yield f"`refused` names {case!r}, which is no case of the corpus"
            elif not reason.strip():
                yield f"`refused` gives no reason for {case!r}"

    @classmethod
    def refusals(cls) -> Mapping[str, str]:
        """The cases of the corpus that the renderer refuses, declared by feature or by case, with the reason."""
        declared = {
            name: f"the renderer declares that it refuses {', '.join(sorted(features))}"
            for name, case in CORPUS.items()
            if (features := case.policy.common.features & cls.refuses)
        }
        return {**declared, **cls.refused}

    def needs(self, feature: Feature) -> None:
        """Leave out the test if the renderer refuses a feature."""
        if feature in self.refuses:
            leave_out(f"the renderer declares that it refuses {feature.value}")

    def make_renderer(self) -> PolicyRenderer:
        """Make the renderer: define this. It is also called in other processes."""
        raise missing_hook(self, "make_renderer")

    def shape(self, ruleset: Ruleset) -> object:
        """The part of a ruleset independent of names of objects; by default the number of lines of its text."""
        return len(ruleset.text.splitlines())

    def render(self, case: str) -> Ruleset:
        """Render a case of the corpus; the test is skipped if the renderer refuses it."""
        if case in self.refusals():
            leave_out(f"refused: {self.refusals()[case]}")
        return self.make_renderer().render(CORPUS[case].policy)

    # --- canonical ------------------------------------------------------------------------------------------------

    @every_case
    def test_order_does_not_matter(self, case: str) -> None:
        """S11: rules, peers, ports, interfaces and groups in another order are the same ruleset."""
        expected, chance = self.render(case), random.Random(case)  # noqa: S311 # any order does
        for _ in range(3):
            assert self.make_renderer().render(shuffled(CORPUS[case].policy, chance)) == expected

    @every_case
    def test_copies_of_a_pod_share_a_ruleset(self, case: str) -> None:
        """S61: the ruleset does not depend on the sandbox, so a node renders it once."""
        expected = self.render(case)
        copy = evolve(CORPUS[case].policy, pod=ObjectName("another", "pod"))
        assert self.make_renderer().render(copy) == expected

    def test_every_process_writes_the_same(self) -> None:
        """S62: a set has another order in each process (PYTHONHASHSEED)."""
        expected = digests(self)
        for seed in "12":
            found = _digests_in_a_fresh_process(type(self), seed)
            assert [case for case in expected if found[case] != expected[case]] == [], f"PYTHONHASHSEED={seed}"

    def test_dialect_is_that_of_the_ruleset_in_deltas_too(self) -> None:
        """A delta goes to the applier that the ruleset went to."""
        delta = self.make_renderer().render_delta(_CHANGES["nobody to one"])
        assert delta.dialect == self.render("deny all").dialect != ""

    # --- digests --------------------------------------------------------------------------------------------------

    @every_case
    def test_the_digest_stands_in_the_text(self, case: str) -> None:
        """S62: so that a fresh process finds it in the kernel."""
        ruleset = self.render(case)
        assert ruleset.digest
        assert ruleset.digest in ruleset.text

    def test_policies_that_mean_something_else_have_other_digests(self) -> None:
        """S62: else a change of policy would not be applied."""
        renderer, seen = self.make_renderer(), dict[str, str]()
        for name, policy in self._other_meanings():
            digest = renderer.render(policy).digest
            assert digest not in seen, f"{name!r} has the digest of {seen[digest]!r}"
            seen[digest] = name

    def _other_meanings(self) -> Iterator[tuple[str, SandboxPolicy]]:
        for name, policy in _MEANINGS.items():
            if name not in self.refused and not _features(policy) & self.refuses:
                yield name, policy

    @pytest.mark.parametrize("groups", [_MEMBERSHIPS, _ENDPOINTS], ids=["addresses", "endpoints"])
    def test_the_digest_does_not_depend_on_membership(self, groups: Mapping[str, Group]) -> None:
        """S61, S62: a pod that comes or goes changes no rule."""
        rendered = [self.make_renderer().render(_using(group)) for group in groups.values()]
        assert len({ruleset.digest for ruleset in rendered}) == 1
        assert len({str(sorted(map(sorted, ruleset.sets.values()))) for ruleset in rendered}) > 1, "`sets` lacks them"

    # --- deltas ---------------------------------------------------------------------------------------------------

    @every_change
    def test_a_delta_leads_from_one_membership_to_the_other(self, change: str) -> None:
        """S61: the elements before, minus the removed and plus the added ones, are the elements after."""
        renderer, asked = self.make_renderer(), _CHANGES[change]
        delta = renderer.render_delta(asked)
        old, new = renderer.render(_using(asked.before)).sets, renderer.render(_using(asked.after)).sets
        nothing: frozenset[str] = frozenset()
        got = {name: old[name] - delta.removed.get(name, nothing) | delta.added.get(name, nothing) for name in old}
        assert got == dict(new)
        for name in old:
            assert delta.removed.get(name, nothing) <= old[name], "something goes that is not there"
            assert not delta.added.get(name, nothing) & old[name], "something comes that is there"

    @every_change
    def test_a_delta_names_only_sets_that_every_user_of_the_group_has(self, change: str) -> None:
        """S61: it is rendered once, for all sandboxes."""
        renderer, asked = self.make_renderer(), _CHANGES[change]
        delta = renderer.render_delta(asked)
        for policy in (_using(asked.after), _using_among_others(asked.after)):
            assert {*delta.added, *delta.removed} <= {*renderer.render(policy).sets}

    def test_a_delta_of_nothing_is_empty(self) -> None:
        """S61: nothing is done where nothing changes."""
        for group in (*_MEMBERSHIPS.values(), *_ENDPOINTS.values()):
            delta = self.make_renderer().render_delta(GroupDelta(before=group, after=group))
            assert (delta.text, any(delta.added.values()), any(delta.removed.values())) == ("", False, False)

    @pytest.mark.parametrize("change", _BLOCK_CHANGES)
    def test_a_delta_of_blocks_leads_from_one_list_to_the_other(self, change: str) -> None:
        """S61: rules and elements before, with the change, are those after; without a delta the rules are replaced."""
        renderer = self.make_renderer()
        if not isinstance(renderer, BlocksRenderer):
            leave_out("the renderer is no BlocksRenderer: rules are replaced when a CIDR changes")
        before, after = (_blocks(_LISTS[name]) for name in _BLOCK_CHANGES[change])
        delta = renderer.render_blocks_delta(BlocksDelta(id=_LIST, before=before, after=after))
        if delta is None:
            return
        was, now = (renderer.render(_with_list(blocks)) for blocks in (before, after))
        assert (delta.dialect, was.digest) == (now.dialect, now.digest), "it is written otherwise: None"
        nothing: frozenset[str] = frozenset()
        assert {*delta.added, *delta.removed} <= {*was.sets}, "a set that the rule does not have"
        for name, old in was.sets.items():
            added, removed = delta.added.get(name, nothing), delta.removed.get(name, nothing)
            assert removed <= old, "something goes that is not there"
            assert not added & old, "something comes that is there"
            assert (old - removed) | added == now.sets[name]

    # --- hostile --------------------------------------------------------------------------------------------------

    @pytest.mark.parametrize("text", HOSTILE_TEXTS, ids=shown)
    def test_hostile_names_of_objects_change_nothing_but_words(self, text: str) -> None:
        """S6: no name changes the rules of a policy, and no pod is left unenforced for a name."""
        renderer = self.make_renderer()
        assert self.shape(renderer.render(named_by(text))) == self.shape(renderer.render(named_by("benign")))

    @pytest.mark.parametrize("name", HOSTILE_INTERFACES, ids=shown)
    def test_hostile_names_of_interfaces_are_refused_or_change_nothing_but_words(self, name: str) -> None:
        """S6, S44."""
        renderer = self.make_renderer()
        try:
            found = renderer.render(named_by("benign", interface_name=name))
        except InputError:
            return
        assert self.shape(found) == self.shape(renderer.render(named_by("benign")))

    # --- honest ---------------------------------------------------------------------------------------------------

    def test_inexpressible_policy_is_refused(self) -> None:
        """S6: never something else instead."""
        refused = self.refuses - {Feature.AUDIT}  # that is treated as open, see AuditConformance
        for policy in (*(CORPUS[case].policy for case in self.refusals()), *map(using, refused)):
            with pytest.raises((InputError, UnsupportedError)):
                self.make_renderer().render(policy)

    @pytest.mark.parametrize("feature", Feature, ids=lambda feature: feature.name.lower())
    def test_a_setting_that_is_not_declared_as_refused_is_written(self, feature: Feature) -> None:
        """S6: a node must not discover refusals pod by pod: they are declared, and checked once when it starts."""
        if feature not in self.refuses:
            assert self.make_renderer().render(using(feature)).digest

    def test_refused_settings_are_those_of_the_installed_renderer(self) -> None:
        """The node goes by the spec, the kit by `refuses`: they must not differ."""
        dialect = self.make_renderer().render(only()).dialect
        declared = [spec.refuses for spec in load_plugins().renderers.values() if spec.dialect == dialect]
        assert declared in ([], [self.refuses])


def _features(policy: SandboxPolicy) -> frozenset[Feature]:
    directions = [each.of(direction) for each in policy.interfaces for direction in Direction]
    audits = {Feature.AUDIT} if any(isinstance(each, Audited) for each in directions) else set()
    return policy.common.features | audits


_EGRESS = isolated(allow_endpoints(GROUP))
_MEANINGS: Mapping[str, SandboxPolicy] = {
    "open": only(),
    "ingress denied": only(ingress=DENY),
    "egress denied": only(egress=DENY),
    "both denied": only(ingress=DENY, egress=DENY),
    "another interface": sandbox(interface("net2", ingress=DENY)),
    "two interfaces": sandbox(interface("net1", ingress=DENY), interface("net2", ingress=DENY)),
    "anybody": only(ingress=isolated(allow())),
    "port 80": only(ingress=isolated(allow(ports=["TCP/80"]))),
    "port 81": only(ingress=isolated(allow(ports=["TCP/81"]))),
    "ports 80 and 81": only(ingress=isolated(allow(ports=["TCP/80-81"]))),
    "port 80 of UDP": only(ingress=isolated(allow(ports=["UDP/80"]))),
    "port 80 in egress": only(egress=isolated(allow(ports=["TCP/80"]))),
    "all of TCP": only(ingress=isolated(allow(ports=["TCP"]))),
    "IPv4": only(ingress=isolated(allow(["0.0.0.0/0"]))),
    "IPv6": only(ingress=isolated(allow(["::/0"]))),
    "a block": only(ingress=isolated(allow(["10.0.0.0/24"]))),
    "half of it": only(ingress=isolated(allow(["10.0.0.0/25"]))),
    "a group": only(ingress=isolated(allow([GROUP])), groups=[addresses(GROUP)]),
    "another group": only(ingress=isolated(allow([OTHER_GROUP])), groups=[addresses(OTHER_GROUP)]),
    "endpoints": only(egress=_EGRESS, groups=[endpoints(GROUP)]),
    "accept icmp": only(ingress=DENY, egress=DENY, accept_icmp=True),
    "accept icmpv6": only(ingress=DENY, egress=DENY, accept_icmpv6=True),
    "accept multicast management": only(ingress=DENY, egress=DENY, accept_multicast_management=True),
    "prefixes": CORPUS["prefixes"].policy,
    "reject": CORPUS["reject"].policy,
    "recheck": CORPUS["recheck"].policy,
    "audit": CORPUS["audit"].policy,
}
"""Each changes the verdict on some packet, or its counter. Those named as in the corpus may be among the refusals."""


def _using(group: Group) -> SandboxPolicy:
    """A policy that uses the group, in the one way that its type has."""
    if isinstance(group, EndpointGroup):
        return only(egress=_EGRESS, groups=[group])
    return only(ingress=isolated(allow([GROUP], ["TCP/80"])), groups=[group])


def _blocks(texts: Iterable[str]) -> tuple[Block, ...]:
    """Blocks of CIDRs, each with what it leaves out."""
    parts = (text.partition(" but ") for text in texts)
    return tuple(
        Block(cidr=ip_network(cidr), excepts=(ip_network(excepted),) if excepted else ()) for cidr, _, excepted in parts
    )


def _with_list(blocks: tuple[Block, ...]) -> SandboxPolicy:
    """A policy of which a rule has the blocks, in a list with an identity."""
    return only(ingress=isolated(evolve(allow(ports=["TCP/80"]), peers=Peers(blocks=blocks, list_id=_LIST))))


def _using_among_others(group: Group) -> SandboxPolicy:
    policy = _using(group)
    more = interface("net2", ingress=isolated(allow([OTHER_GROUP])))
    others = {OTHER_GROUP: addresses(OTHER_GROUP, "10.3.0.1")}
    return evolve(policy, interfaces=(*policy.interfaces, more), groups={**policy.groups, **others})


# --- the same policy in another process ---------------------------------------------------------------------------


def digests(tests: RendererConformance) -> Mapping[str, str]:
    """A digest of everything that the renderer writes, by case."""
    renderer = tests.make_renderer()
    found = {}
    for name, case in CORPUS.items():
        if name not in tests.refusals():
            ruleset = renderer.render(case.policy)
            sets = sorted((key, sorted(elements)) for key, elements in ruleset.sets.items())
            found[name] = hashlib.sha256(repr((ruleset.text, sets, ruleset.digest)).encode()).hexdigest()
    return found


def _digests_in_a_fresh_process(kind: type[RendererConformance], seed: str) -> Mapping[str, str]:
    where = {
        "path": sys.path,
        "module": kind.__module__,
        "file": inspect.getsourcefile(kind),
        "name": kind.__qualname__,
    }
    done = subprocess.run(
        [sys.executable, "-m", "mnp_core.testing.conformance._fresh"],
        input=json.dumps(where),
        text=True,
        capture_output=True,
        env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(filter(None, sys.path))},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: Mapping[str, str] = json.loads(done.stdout)
    return found
