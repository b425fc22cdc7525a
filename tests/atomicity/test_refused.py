"""S60: a transaction refused by the kernel leaves the rules in force, and is retried."""

from itertools import product

import pytest
from attrs import evolve

from mnp_core.api import Result
from mnp_core.backend import Backend
from mnp_core.model import Delta, GroupDelta, ObjectName, Reason, Ruleset, SandboxPolicy
from mnp_core.testing.suites.reference import naive
from mnp_core.testing.suites.truthtable.cluster import SUBNETS, base, pod, policy, probes
from mnp_core.testing.suites.truthtable.generators import changed
from mnp_core.testing.suites.wire.rig import Rig
from mnp_nftables.rule import Chain, Rule
from mnp_nftables.terms import jump

pytestmark = pytest.mark.root

ANY_CLIENT = {"podSelector": {"matchLabels": {"role": "client"}}, "namespaceSelector": {}}
CLIENT, MOVED_CLIENT = pod("y", "b", role="client"), pod("z", "c", role="client")
FROM_CLIENTS = policy({"podSelector": {}, "ingress": [{"from": [ANY_CLIENT]}]})
ON_81 = policy({"podSelector": {}, "ingress": [{"ports": [{"port": 81}]}]})
OLD = changed(CLIENT, policies=(FROM_CLIENTS,))
NEW = changed(CLIENT, policies=(ON_81,))
MOVED = changed(MOVED_CLIENT, policies=(FROM_CLIENTS,))
IN_X = {ObjectName("x", name) for name in "abc"}


class Saboteur:
    """The installed renderer, with a switch to spoil its output."""

    def __init__(self) -> None:
        self.spoil_rules = self.spoil_membership = None

    def choose(self, backend: Backend) -> Backend:
        self._renderer = backend.renderer
        return evolve(backend, renderer=self)

    def render(self, sandbox: SandboxPolicy) -> Ruleset:
        ruleset = self._renderer.render(sandbox)
        return self.spoil_rules(ruleset) if self.spoil_rules else ruleset

    def render_delta(self, delta: GroupDelta) -> Delta:
        rendered = self._renderer.render_delta(delta)
        return self.spoil_membership(rendered) if self.spoil_membership else rendered


def refused_by_the_kernel(rendered):
    """Everything else in it is right, and is there already when the kernel finds out; it is written as a whole."""
    if isinstance(rendered, Delta):
        return without(rendered, "203.0.113.99")
    nowhere = Chain(name="ingress", rules=(Rule.of(jump("nowhere")),))
    table = evolve(rendered.table, chains=(*rendered.table.chains, nowhere))
    return evolve(rendered, table=table, structure=None)


def no_nftables(rendered):
    if isinstance(rendered, Delta):
        return without(rendered, "let them through")
    return evolve(rendered, text=rendered.text + "let them through\n")


def without(delta, member):
    """A change that also removes a member that is absent."""
    name = min({*delta.added, *delta.removed})
    return evolve(delta, removed={**delta.removed, name: delta.removed.get(name, frozenset()) | {member}})


def no_rendering(_):
    raise ZeroDivisionError("a bug in a plugin")


SABOTAGE = pytest.mark.parametrize("sabotage", [refused_by_the_kernel, no_nftables, no_rendering])


@pytest.fixture
def node():
    """An agent, and the renderer that it uses."""
    saboteur = Saboteur()
    with Rig(SUBNETS, {}, saboteur.choose) as rig:
        yield rig, saboteur


def what_holds(rig, objects):
    """Empty if packets are judged as these objects require."""
    return rig.wrong({p: naive.allowed(objects, *p) for family in (4, 6) for p in probes(objects, family)})


def test_the_states_differ():
    truth = [[naive.allowed(state, *p) for p in probes(base(), 4)] for state in (OLD, NEW, MOVED)]
    assert all(a != b for a, b in product(truth, truth) if a is not b)


@SABOTAGE
def test_a_refused_ruleset_leaves_the_old_rules_in_force(node, sabotage):
    """S60"""
    rig, saboteur = node
    rig.become(OLD)
    saboteur.spoil_rules = sabotage
    sync = rig.sync(NEW)
    failed = [outcome for outcome in sync.outcomes if outcome.result is Result.FAILED]
    assert {outcome.pod for outcome in failed} == IN_X
    assert all(outcome.error for outcome in failed)
    reason = Reason.UNENFORCEABLE if sabotage is no_rendering else Reason.ENFORCEMENT_FAILED  # a bug in a plugin lasts
    assert {report.about.name for report in sync.reports if report.reason is reason} == IN_X
    assert what_holds(rig, OLD) == {}

    saboteur.spoil_rules = None
    rig.become(NEW)  # no object has changed since: the failure is retried
    assert what_holds(rig, NEW) == {}


@SABOTAGE
def test_a_refused_change_of_membership_costs_a_replacement(node, sabotage):
    """S60: the rules as a whole are still written, so no member is left in a group, or out of it."""
    rig, saboteur = node
    rig.become(OLD)
    saboteur.spoil_membership = sabotage
    rig.sync(MOVED)
    assert what_holds(rig, MOVED) == {}


@SABOTAGE
def test_a_pod_whose_every_change_is_refused_keeps_its_rules_and_its_members(node, sabotage):
    """S60"""
    rig, saboteur = node
    rig.become(OLD)
    saboteur.spoil_membership = saboteur.spoil_rules = sabotage
    rig.sync(MOVED)
    assert what_holds(rig, OLD) == {}
