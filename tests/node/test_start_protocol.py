"""Gates, takeover and replacement as one protocol, in any order: an isolated interface stays isolated, all converges.

The real agent on a kernel in memory whose operations end when the machine says so. The agent is killed between any two
steps: operations that it had submitted are lost, or were done without its knowledge.
"""

from collections import deque
from concurrent.futures import Future
from functools import partial

import pytest
from attrs import evolve
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from mnp_core.agent.agent import Agent
from mnp_core.agent.starts import Start
from mnp_core.cluster import ClusterState
from mnp_core.model import CommonRules, NetworkRequest
from mnp_core.model.gated import Gated
from mnp_core.node.denial import Denial
from mnp_core.testing.builders import absent, named, namespace, network, pod, pods, policy, present, status
from mnp_core.testing.builders import rule as policy_rule
from mnp_core.testing.fakes import FakeKernel, FakeNamespace, FakeRenderer
from mnp_core.testing.suites.differential.profile import in_proportion
from tests.agent.test_agent import Agreeing, Clock, OneBackend

NET, OTHER = network("net", "macvlan"), network("other", "macvlan")
CLOSED = policy("closed", networks=["net"], ingress=[], egress=[])
BESIDE = policy("beside", networks=["net"], ingress=[policy_rule([pods(app="friend")])])
REQUESTS = (NetworkRequest(network=NET.name, interface="net1"),)
PODS = ("a", "b")


class LateKernel(FakeKernel):
    """Work in sandboxes is queued until `run_one`."""

    def __init__(self):
        super().__init__()
        self.queue = deque()

    def submit(self, sandbox, work):
        future = Future()
        self.queue.append((future, sandbox, work))
        return future

    def run_one(self):
        future, sandbox, work = self.queue.popleft()
        done = super().submit(sandbox, work)
        if done.exception() is not None:
            future.set_exception(done.exception())
        else:
            future.set_result(done.result())

    def run_now(self, sandbox, work):
        return super().submit(sandbox, work).result()


class Now:
    """The pool of a denial: done at once, as its gate waits for it."""

    def __init__(self, kernel):
        self.kernel = kernel

    def submit(self, sandbox, work):
        return self.kernel.run_now(sandbox, work)


def isolates(found: FakeNamespace) -> bool:
    text = found.ruleset.text if found.ruleset is not None else "=Open()"
    return "interface='net1'" in text and "=Open()" not in text


class Node(RuleBasedStateMachine):
    """Pods come, start, change and go on a node, under kills of the agent and lags of the watch."""

    @initialize()
    def begin(self):
        self.kernel, self.clock = LateKernel(), Clock()
        self.api = {}  # by ref: as the API server has it
        self.news = deque()  # not delivered yet
        self.held, self.admitted = [], {}  # starts; sandboxes whose containers run
        self.gated = {}
        self.uids = 0
        self.agent = None
        for each in (NET, OTHER, namespace("default"), CLOSED):
            self._write(each)
        self.the_agent_starts()

    # --- the cluster ---

    def _write(self, thing):
        change = present(thing)
        self.api[change.ref] = change
        self.news.append(change)

    def _delete(self, thing):
        ref = present(thing).ref
        if self.api.pop(ref, None) is not None:
            self.news.append(absent(thing))

    def _pod(self, name):
        return next(
            (change.object for ref, change in self.api.items() if ref.name == named(name) and ref.kind == "Pod"), None
        )

    @rule(name=st.sampled_from(PODS))
    def a_pod_is_created(self, name):
        if self._pod(name) is None:
            self.uids += 1
            self._write(evolve(pod(name, node="here", phase="Pending"), uid=str(self.uids), requests=REQUESTS))

    @rule(name=st.sampled_from(PODS))
    def a_pod_ends(self, name):
        if (found := self._pod(name)) is not None:
            self._delete(found)
            self._sandbox_ends(name)

    @rule(name=st.sampled_from(PODS), how=st.sampled_from(["right", "forged", "lost", "default"]))
    def status_is_written(self, name, how):
        """By the meta-plugin, or by a tenant who may edit pods."""
        if (found := self._pod(name)) is None:
            return
        entries = {"right": (status("net", "net1", "10.0.0.1"),), "forged": (status("other", "net1", "10.0.0.9"),)}
        more = {"default_interfaces": frozenset({"eth0", "net1"}), "requests": ()} if how == "default" else {}
        self._write(evolve(found, statuses=entries.get(how, ()), attached=True, phase="Running", **more))

    @rule(there=st.booleans())
    def another_policy_comes_or_goes(self, there):
        (self._write if there else self._delete)(BESIDE)

    @rule(there=st.booleans())
    def the_definition_comes_or_goes(self, there):
        (self._write if there else self._delete)(NET)

    # --- the runtime and its gate ---

    @rule(name=st.sampled_from(PODS))
    def a_sandbox_is_made(self, name):
        """The kubelet makes one for a pod without, or another one after a crash."""
        if (found := self._pod(name)) is None:
            return
        self._sandbox_ends(name)
        self.kernel.namespaces[named(name)] = FakeNamespace()
        self.gated[named(name)] = Gated(uid=found.uid, requests=REQUESTS)
        start = Start(pod=named(name), uid=found.uid, sandbox=self.kernel.locate(found))
        if self.agent is None:
            self._sandbox_ends(name)  # no answer: refused, and retried
            return
        self.held.append(start)
        self.agent.post(partial(self.agent.hold, start, self.gated[start.pod], frozenset()))

    def _sandbox_ends(self, name):
        self.kernel.namespaces.pop(named(name), None)
        self.held = [start for start in self.held if start.pod != named(name)]
        self.admitted.pop(named(name), None)
        if self.gated.pop(named(name), None) is not None and self.agent is not None:
            self.agent.post(partial(self.agent.describe, named(name), None))

    @precondition(lambda self: self.held)
    @rule()
    def the_limit_of_a_start_is_over(self):
        start = self.held.pop(0)
        if start.done.done():
            self._admit(start)
        elif self.agent is not None and not self.agent.started:
            backend = OneBackend(self.kernel, FakeRenderer()).backend
            try:
                Denial(backend=backend, pool=Now(self.kernel), common=CommonRules()).submit(start.sandbox, {"net1"})
            except Exception:  # noqa: BLE001 - the kernel refuses on purpose: so does the gate
                self._sandbox_ends(start.pod.name)
                return
            self._admit(start)
        else:
            self._sandbox_ends(start.pod.name)

    def _admit(self, start):
        if start.sandbox == self._sandbox_of(start.pod):
            self.admitted[start.pod] = self.kernel.namespaces[start.pod]

    def _sandbox_of(self, name):
        found = self._pod(name.name)
        return self.kernel.locate(found) if found is not None and name in self.kernel.namespaces else None

    # --- the node ---

    @precondition(lambda self: self.agent is not None)
    @rule()
    def the_agent_is_killed(self):
        """Its operations under way are lost; the gate's connection breaks, so held starts are refused."""
        self.agent = None
        self.kernel.queue.clear()
        for start in self.held:
            if start.done.done() and not start.done.result():
                self._admit(start)
            else:
                self._sandbox_ends(start.pod.name)
        self.held = []

    @precondition(lambda self: self.agent is None)
    @rule()
    def the_agent_starts(self):
        """The gate describes running sandboxes; lists come later."""
        self.agent = Agent(
            cluster=ClusterState(common=CommonRules(), claimed=frozenset({"macvlan"}), node="here"),
            backends=OneBackend(self.kernel, FakeRenderer()),
            locator=self.kernel,
            discoverers={"macvlan": Agreeing()},
            pool=self.kernel,
            read_links=lambda: (),
            forget_connections=lambda: None,
            clock=self.clock,
            jitter=lambda: 1.0,
        )
        for name, gated in self.gated.items():
            self.agent.describe(name, gated)

    @precondition(lambda self: self.agent is not None)
    @rule()
    def lists_or_news_arrive(self):
        if not self.agent.started:
            self.news.clear()
            self.agent.submit(tuple(self.api.values()))
        elif self.news:
            self.agent.submit([self.news.popleft()])

    @precondition(lambda self: self.agent is not None)
    @rule()
    def the_agent_works(self):
        self.agent.process(0)

    @precondition(lambda self: self.kernel.queue)
    @rule()
    def an_operation_ends(self):
        self.kernel.run_one()

    @rule(name=st.sampled_from(PODS), refuse=st.booleans())
    def the_kernel_refuses_from_now_on(self, name, refuse):
        if named(name) in self.kernel.namespaces:
            self.kernel.namespaces[named(name)].refuse = refuse

    @rule(seconds=st.sampled_from([0.1, 2.0, 60.0]))
    def time_passes(self, seconds):
        self.clock.now += seconds
        if self.agent is not None:
            self.agent.watch()

    # --- invariants ---

    @invariant()
    def an_isolated_interface_stays_isolated(self):
        """From the first moment of the pod's first container."""
        for start in self.held:
            if start.done.done() and not start.done.result():
                self._admit(start)
        for name, found in self.admitted.items():
            if self.kernel.namespaces.get(name) is found:
                assert isolates(found), (name, found.ruleset, found.writes)

    def teardown(self):
        """Everything comes to rest where a fresh computation would be, and no start is held for ever."""
        if not hasattr(self, "agent"):
            return
        for found in self.kernel.namespaces.values():
            found.refuse = False
        if self.agent is None:
            self.the_agent_starts()
        self._write(NET)
        for _ in range(300):
            self.lists_or_news_arrive()
            self.agent.process(0)
            while self.kernel.queue:
                self.kernel.run_one()
                self.agent.process(0)
            self.time_passes(2.0)
        self.an_isolated_interface_stays_isolated()
        for name, found in self.kernel.namespaces.items():
            wanted = self.agent.ruleset(name)
            assert found.ruleset is not None
            assert found.ruleset.text == wanted.text
        assert all(start.done.done() and not start.done.result() for start in self.held)


def run(examples, steps):
    limits = {"deadline": None, "suppress_health_check": list(HealthCheck)}
    run_state_machine_as_test(Node, settings=settings(max_examples=examples, stateful_step_count=steps, **limits))


@pytest.mark.timeout(300)
def test_the_start_protocol_keeps_isolation_and_converges():
    run(in_proportion(250), 40)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_the_start_protocol_at_length():
    run(3000, 80)


def test_a_pod_made_anew_under_its_name_starts_though_its_sandbox_is_faster_than_the_watch():
    """As a StatefulSet does: the end of the former pod arrives while the start of the new one is held."""
    node = Node()
    node.begin()
    node.a_pod_is_created(name="b")
    node.lists_or_news_arrive()
    node.status_is_written(how="right", name="b")
    node.a_pod_ends(name="b")
    node.a_pod_is_created(name="b")
    node.a_sandbox_is_made(name="b")
    (held,) = node.held
    node.teardown()
    assert held.done.done()
