"""Own commits of the agent cost no look at the sandbox, and hide none of others': real namespaces, monitor and pool."""

import time
from contextlib import ExitStack

import pytest

from benchmarks.one_change import MANY, Bench, jobs_of_changes
from mnp_core.backend import Backend
from mnp_core.sandbox.netns import run_inside
from mnp_core.testing import nft
from mnp_core.testing.builders import named, namespace, network, pod, present, status
from mnp_core.testing.netns import private_namespace
from mnp_nftables import NftablesApplier, NftablesRenderer

pytestmark = pytest.mark.root
IN_TIME = 15  # seconds on a machine that does other things too


class Disturbed(NftablesApplier):
    """A foreign commit right after ours, before the generation is read."""

    tamper = ""

    def commit(self, ruleset):
        finalize = super().commit(ruleset)
        self._disturb()
        return finalize

    def update(self, delta):
        undisturbed = super().update(delta)
        self._disturb()
        return undisturbed

    def commit_difference(self, sandbox, *state):
        generation = super().commit_difference(sandbox, *state)
        run_inside(sandbox, self._disturb)
        return generation

    def commit_members(self, sandbox, *state):
        generation = super().commit_members(sandbox, *state)
        run_inside(sandbox, self._disturb)
        return generation

    def _disturb(self):
        commands, self.tamper = self.tamper, ""
        if commands:
            nft.load(commands)


class OneBackend:
    def __init__(self):
        self.applier = Disturbed()
        self.backend = Backend(name="nftables", renderer=NftablesRenderer(), applier=self.applier)

    def of(self, _attachments):
        return self.backend

    def obstacle(self, _attachments, path):
        return f"no backend reaches {path}"

    def others(self, _chosen):
        return ()


@pytest.fixture
def bench():
    """An agent with two pods, the first of which a policy selects."""
    with ExitStack() as stack:
        found = Bench(stack, OneBackend())
        found.choice = found.agent._planner.backends
        found.submit(present(network("net", "macvlan")), present(namespace("default")), *map(found.add, range(2)))
        found.settle()
        yield found


def test_a_new_pod_is_entered_once_for_each_thing_to_do_and_no_pod_for_a_difference(bench):
    """S61: replaced, finalized and inspected."""
    assert jobs_of_changes(bench) == {
        "pod added": 3,
        "policy created": 0,
        "member added": 0,
        "member removed": 0,
        "policy deleted": 0,
    }


@pytest.mark.parametrize("ours", ["policy", "membership"])
def test_a_foreign_commit_right_after_ours_is_found_and_repaired(bench, ours):
    """S63: the generation that is read after ours is already that of theirs."""
    member = pod("elsewhere", status("net", "net1", "10.9.9.9"), labels={"team": "red"})
    bench.sandboxes[named("elsewhere")] = bench.stack.enter_context(private_namespace())  # not one of the others'
    if ours == "membership":
        bench.submit(present(MANY))
        bench.settle()
    bench.choice.applier.tamper = "insert rule inet mnp ingress accept"
    bench.submit(present(MANY) if ours == "policy" else present(member))
    end = time.monotonic() + IN_TIME
    while not any(outcome.drifted for outcome in bench.told):
        assert time.monotonic() < end
        bench.agent.process(0.1)
    bench.settle()
    assert bench.choice.applier.tamper == ""
    for name in ("p0", "p1"):
        ruleset = bench.agent.ruleset(named(name))
        assert run_inside(bench.sandboxes[named(name)], bench.choice.applier.installed).matches(ruleset)
