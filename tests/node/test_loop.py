"""Nothing is written before all lists are complete; then every change is, and rules in force stay (S62)."""

import threading
import time

import pytest

from mnp_core.agent.agent import Agent
from mnp_core.cluster import ClusterState
from mnp_core.model import CommonRules
from mnp_core.node.loop import NodeLoop
from mnp_core.testing.builders import absent, named, namespace, network, pod, pods, policy, present, rule, status
from mnp_core.testing.fakes import FakeKernel, FakeRenderer
from tests.agent.test_agent import Agreeing, OneBackend

SOON = 10
NET = network("net", "macvlan")
A = pod("a", status("net", "net1", "10.0.0.1"))
B = pod("b", status("net", "net1", "10.0.0.2"))
FROM_ALL = policy("p", networks=["net"], ingress=[rule([pods()])])


class Source:
    """Delivers the test's changes, at the test's command."""

    def __init__(self):
        self.complete = False
        self.waiting = ("pods were not listed yet",)
        self.running = False

    def start(self):
        self.running = True

    def stop(self):
        self.running = False


class Observer:
    """Records all notifications."""

    def __init__(self):
        self.told, self.syncs, self.beats = [], [], 0

    def waiting(self, sentences):
        self.told.append(("waiting", *sentences))

    def sync_started(self):
        self.told.append(("sync_started",))

    def ready(self):
        self.told.append(("ready",))

    def stopping(self):
        self.told.append(("stopping",))

    def heartbeat(self, _agent):
        self.beats += 1

    def synced(self, sync):
        self.syncs.append(sync)

    def results(self):
        return [(str(outcome.pod), outcome.result.value) for sync in self.syncs for outcome in sync.outcomes]


class Running:
    """A node on a kernel in memory, running on a thread of its own."""

    def __init__(self, kernel=None, claimed=frozenset({"macvlan"}), discoverers=None, **parts):
        self.kernel, self.observer, self.source = kernel or FakeKernel(), Observer(), Source()
        self.agent = Agent(
            cluster=ClusterState(common=CommonRules(), claimed=claimed),
            backends=OneBackend(self.kernel, FakeRenderer()),
            locator=self.kernel,
            discoverers=discoverers or {"macvlan": Agreeing()},
            pool=self.kernel,
            **parts,
        )
        self.node = NodeLoop(self.agent, self.observer)
        self.thread = threading.Thread(target=self.node.run, args=(self.source,))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.node.stop()
        self.thread.join(SOON)
        assert not self.thread.is_alive()

    def deliver(self, *changes):
        self.node.enqueue(changes, time.monotonic())

    def begin(self, *objects):
        for name in ("a", "b"):
            self.kernel.add(named(name))
        self.deliver(*map(present, (NET, namespace("default"), *objects)))
        self.source.complete = True
        eventually(lambda: ("ready",) in self.observer.told)


def eventually(true):
    end = time.monotonic() + SOON
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_nothing_is_written_before_everything_is_known():
    """S62: the policies that are missing may be those that close a pod."""
    with Running() as node:
        node.kernel.add(named("a"))
        node.deliver(*map(present, (NET, namespace("default"), A)))
        eventually(lambda: node.observer.told == [("waiting", "pods were not listed yet")])
        time.sleep(0.2)
        assert node.kernel.namespaces[named("a")].writes == []
        node.deliver(present(FROM_ALL))
        node.source.complete = True
        eventually(lambda: ("ready",) in node.observer.told)
        assert node.kernel.namespaces[named("a")].writes == ["apply"]
        assert node.agent.cluster.sandbox_policy(named("a")).interfaces
    assert node.observer.told == [("waiting", "pods were not listed yet"), ("sync_started",), ("ready",), ("stopping",)]


@pytest.mark.parametrize("pods_here", [(), (A, B)])
def test_readiness_does_not_wait_for_the_next_poll_of_sandboxes(pods_here, monkeypatch):
    monkeypatch.setattr("mnp_core.node.loop.WATCH_INTERVAL_SECONDS", 60.0)
    with Running() as node:
        node.begin(FROM_ALL, *pods_here)
        written = [len(found.writes) for found in node.kernel.namespaces.values()]
        assert written == ([1, 1] if pods_here else [0, 0])


def test_a_change_is_in_force_at_once_and_its_latency_is_known():
    """S61."""
    with Running() as node:
        node.begin(A, B)
        node.deliver(present(FROM_ALL))
        eventually(lambda: len(node.observer.results()) == 4)
        changed = node.observer.syncs[-1].outcomes
        assert {(str(o.pod), o.result.value) for o in changed} == {("default/a", "applied"), ("default/b", "applied")}
        assert all(0 < outcome.latency < SOON for outcome in changed)


def test_the_end_leaves_the_rules_in_force_and_the_next_life_writes_nothing():
    """S62."""
    with Running() as first:
        first.begin(A, B, FROM_ALL)
    assert not first.source.running
    with Running(first.kernel) as second:
        second.begin(A, B, FROM_ALL)
    assert first.kernel.namespaces[named("a")].writes == ["apply"]
    assert {result for _, result in second.observer.results()} == {"unchanged"}


def test_a_pod_without_a_sandbox_delays_no_other_and_is_retried():
    """S64."""
    with Running() as node:
        node.kernel.add(named("b"))
        node.deliver(*map(present, (NET, namespace("default"), A, B)))
        node.source.complete = True
        eventually(lambda: ("ready",) in node.observer.told)
        assert ("default/b", "applied") in node.observer.results()
        node.kernel.add(named("a"))
        eventually(lambda: ("default/a", "applied") in node.observer.results())


def test_removed_rules_come_back_within_seconds():
    """S63."""
    with Running() as node:
        node.begin(A, B, FROM_ALL)
        node.kernel.namespaces[named("a")].commit(None, "somebody else")
        eventually(lambda: node.kernel.namespaces[named("a")].ruleset is not None)
        eventually(lambda: any(outcome.drifted for sync in node.observer.syncs for outcome in sync.outcomes))


def test_later_waits_of_the_source_are_reported_too():
    """S61: a definition that is not there yet, an API server that went away."""
    with Running() as node:
        node.source.waiting = ()
        node.begin(A, B)
        node.source.waiting = ("policies are not served",)
        eventually(lambda: node.observer.told[-1] == ("waiting", "policies are not served"))
        node.source.waiting = ()
        eventually(lambda: node.observer.told[-1] == ("waiting",))


def test_a_stop_before_everything_is_known_is_heard():
    with Running() as node:
        eventually(lambda: node.observer.beats > 1)
    assert node.observer.told[-1] == ("stopping",)


@pytest.mark.parametrize("count", [1, 200])
def test_changes_that_come_together_are_one(count):
    with Running() as node:
        node.begin(A, B)
        before = len(node.kernel.namespaces[named("a")].writes)
        node.deliver(*(change for _ in range(count) for change in (present(FROM_ALL), absent(FROM_ALL))))
        node.deliver(present(FROM_ALL))
        eventually(lambda: len(node.kernel.namespaces[named("a")].writes) > before)
        time.sleep(0.1)
        assert len(node.kernel.namespaces[named("a")].writes) <= before + 2


def test_a_source_waits_while_many_changes_wait(monkeypatch):
    """Decoded policies take memory, so few wait for the agent. Before the first sync all are collected."""
    loop = Running().node
    monkeypatch.setattr(loop, "_sync_started", False)
    loop.enqueue([present(pod(f"p{number}")) for number in range(300)], 0.0)
    began = time.monotonic()
    loop.enqueue([present(A)], 0.0)
    assert time.monotonic() - began < 0.5, "collected"
    monkeypatch.setattr(loop, "_sync_started", True)
    delivered = threading.Event()
    more = threading.Thread(target=lambda: (loop.enqueue([present(B)], 0.0), delivered.set()))
    more.start()
    assert not delivered.wait(0.2)
    monkeypatch.setattr(loop, "_submit", lambda _: None)
    loop._take_in()
    assert delivered.wait(SOON)
    more.join()
