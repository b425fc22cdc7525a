"""S60: a node goes over from one backend to another while packets flow: nothing opens, nothing is left behind."""

from functools import partial

import pytest

from mnp_core.agent.agent import Agent
from mnp_core.api import Result
from mnp_core.backend import Backends, BackendSettings
from mnp_core.cluster import ClusterState
from mnp_core.model import Attachment, CommonRules, ObjectName
from mnp_core.plugins import load_plugins
from mnp_core.sandbox.netns import run_inside
from mnp_core.sandbox.pool import SandboxPool
from mnp_core.testing.builders import network, present
from mnp_core.testing.suites.atomicity import enforcer
from mnp_core.testing.suites.atomicity.enforcer import HERE, MAIN
from mnp_core.testing.suites.atomicity.sending import Sending
from mnp_core.testing.suites.atomicity.test_no_open_moment import context, flows, people  # noqa: F401 - fixtures are used by their names
from mnp_core.testing.suites.differential.profile import in_proportion
from mnp_core.testing.suites.wire.attachments import claimed_types, make_discoverers

pytestmark = pytest.mark.root

REGISTRY = load_plugins()
ROUNDS = in_proportion(5)
VICTIM = ObjectName("x", "victim")


@pytest.mark.timeout(900)
def test_moving_between_backends_opens_nothing_and_leaves_nothing(
    context,  # noqa: F811 - a fixture
    people,  # noqa: F811 - likewise
    flows,  # noqa: F811 - likewise
    mnp_backend,
    mnp_wiring,
    mnp_figures,
):
    usable = [mnp_backend, *others_that_work(mnp_backend)]
    if len(usable) < 2:
        pytest.skip(f"needs two backends that work here, there is {usable}")  # nothing to move to: plugins, kernel
    victim = people[0].pod
    settle(victim, usable[0])
    moves = [*usable[1:], usable[0]] * ROUNDS
    with Sending(context, flows) as sending:
        for name in moves:
            settle(victim, name)
            assert in_force(victim, usable) == at_work(name, mnp_wiring.path)
    mnp_figures.append(f"{len(moves)} moves between {', '.join(usable)}, {mnp_wiring.path} pods: {sending}")
    assert sending.wrong == {}


def others_that_work(name):
    choice = Backends(REGISTRY, BackendSettings(node=name))
    return sorted(other.name for other in choice.others(choice.of(())))


def at_work(name, path):
    """That one, and one beside it for a path that it does not reach."""
    attachment = Attachment(pod=VICTIM, network=ObjectName("x", "net"), interface="net1", path=path)
    return {*Backends(REGISTRY, BackendSettings(node=name)).of([attachment]).names}


def settle(sandbox, name):
    """A new agent, as after a restart with another setting."""

    class Locator:
        def locate(self, _pod):
            return sandbox

    with SandboxPool(workers=2) as pool:
        agent = Agent(
            cluster=ClusterState(common=CommonRules(), claimed=claimed_types(REGISTRY), node=HERE),
            backends=Backends(REGISTRY, BackendSettings(node=name)),
            locator=Locator(),
            discoverers=make_discoverers(REGISTRY),
            pool=pool,
        )
        outcomes = agent.sync(map(present, [network("x/net", "macvlan"), *enforcer.people(), MAIN[0]])).outcomes
    assert outcomes[-1].result in {Result.APPLIED, Result.UNCHANGED}, outcomes  # unchanged: it was beside the last


def in_force(sandbox, names):
    """Which backends have something of ours there."""
    return {name for name in names if run_inside(sandbox, partial(_installed, name)) is not None}


def _installed(name):
    return Backends(REGISTRY, BackendSettings(node=name)).of(()).applier.installed()
