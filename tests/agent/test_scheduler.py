"""How many operations are under way at once, and whose: by these limits a tenant with slow pods delays only itself."""

from concurrent.futures import Future

import pytest

from mnp_core.agent.operations import Plan
from mnp_core.agent.pod_state import PodState
from mnp_core.agent.results import Located, Operation
from mnp_core.agent.scheduler import Job, Scheduler, Step
from mnp_core.api import Sandbox
from mnp_core.errors import ApplyError
from mnp_core.model import ObjectName

NOW = 0.0


class Unending:
    """An executor, a pool and a planner: whatever is started comes to no end. Each pod has so many lines of rules."""

    def __init__(self):
        self.started, self.lines, self.cluster, self.outside = [], {}, self, None

    def weight(self, name):
        return self.lines.get(name, 1)

    def pod(self, name):
        return name

    def plan(self, _state, _attempt):
        return Plan(lambda: None, self.outside)

    def submit(self, call_or_sandbox, *_):
        self.started.append(call_or_sandbox)
        return Future()


class Node:
    """A scheduler, and pods for it."""

    def __init__(self):
        self.work = Unending()
        self.scheduler = Scheduler(
            planner=self.work,
            locator=self.work,
            pool=self.work,
            locator_executor=self.work,
            done=lambda *_: None,
        )

    def pod(self, namespace, number=0, *, located=True, lines=1):
        """A pod whose rules are to be written, or, not located, whose sandbox is to be found first."""
        state = PodState(name=ObjectName(namespace, f"pod-{number}"), incarnation=("uid", ()))
        state.require_replacement()
        if located:
            state.start(Operation.LOCATE, NOW)
            state.completed(Located(sandbox=Sandbox(path="/run/netns/x", device=4, inode=number)), NOW)
        self.work.lines[state.name] = lines
        self.scheduler.start_next(state, NOW)
        return state

    def start(self):
        """Start all that have a place; the number."""
        before = len(self.work.started)
        while self.scheduler.start_one(NOW):
            pass
        self.scheduler.start_slices()
        return len(self.work.started) - before

    def end(self, state):
        self.scheduler.release(Job([Step(state, state.attempt)], Future()))


@pytest.fixture
def node():
    return Node()


def test_operations_have_a_fixed_number_of_places(node):
    states = [node.pod(f"ns-{number}", number) for number in range(40)]
    assert node.start() == 32
    assert not node.scheduler.can_start(NOW)
    node.end(states[0])
    assert node.start() == 1


def test_one_namespace_never_has_all_places(node):
    for number in range(40):
        node.pod("noisy", number)
    assert node.start() == 28
    node.pod("quiet")
    assert node.start() == 1, "the quiet namespace waits for the noisy one"


def test_pods_of_a_namespace_that_need_not_be_entered_share_places_and_leave_some_to_others(node):
    node.work.outside = lambda: None
    for number in range(40):
        node.pod("many", number)
    assert node.start() == 3
    for number in range(1000):
        node.pod("noisy", number)
    assert node.start() == 26, "28 places of 29 that are free, and of these three are taken"
    node.pod("quiet")
    assert node.start() == 1, "the quiet namespace waits for the noisy one"


def test_half_of_the_places_are_out_of_reach_of_a_runtime_that_does_not_answer(node):
    states = [node.pod(f"ns-{number}", number, located=False) for number in range(40)]
    assert node.start() == 16
    node.pod("located", 99)
    assert node.start() == 1, "rules wait for the runtime"
    node.end(states[0])
    assert node.start() == 1


def test_big_rulesets_are_written_some_at_a_time_while_small_ones_go_on(node):
    for number in range(10):
        node.pod("big", number, lines=3000)
    assert node.start() == 3
    for number in range(5):
        node.pod("small", number)
    assert node.start() == 5


def test_each_of_two_namespaces_may_write_a_ruleset_beyond_the_limit(node):
    for number, namespace in enumerate(("a", "b", "c")):
        node.pod(namespace, number, lines=50_000)
    assert node.start() == 2


def test_a_deadline_is_void_once_the_operation_is_ready(node):
    state = node.pod("ns")
    assert node.start() == 1
    attempt = state.attempt
    state.failed(ApplyError("refused"), NOW)
    node.scheduler.release(Job([Step(state, attempt)], Future()))
    node.scheduler.start_next(state, NOW)
    assert node.scheduler.next_deadline() > NOW
    state.retry_now()
    node.scheduler.start_next(state, NOW)
    assert node.scheduler.next_deadline() is None, "the agent would wake up for nothing"
    assert node.start() == 1
