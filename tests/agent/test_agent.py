"""The agent's writes to a kernel in memory, and above all the writes that it omits."""

import time

import pytest
from attrs import evolve

from mnp_core.agent import agent as agent_module
from mnp_core.agent import scheduler
from mnp_core.agent.agent import Agent
from mnp_core.api import Discovery, Failure, Result
from mnp_core.backend import Backend
from mnp_core.cluster import ClusterState
from mnp_core.errors import ApplyError
from mnp_core.model import (
    OPEN,
    AddressSource,
    Change,
    CommonRules,
    Direction,
    Enforcement,
    Feature,
    Link,
    ObjectName,
    ObjectRef,
    Reason,
    Report,
    parse_address,
)
from mnp_core.policy.evaluate import evaluate
from mnp_core.sandbox.monitor import Topic
from mnp_core.testing.builders import (
    absent,
    block,
    named,
    namespace,
    network,
    packet,
    pod,
    pods,
    pods_across,
    policy,
    present,
    rule,
    selector,
    status,
)
from mnp_core.testing.fakes import FakeApplier, FakeKernel, FakeNamespace, FakeRenderer


class OneBackend:
    def __init__(self, kernel, renderer):
        self.backend = Backend(name="fake", renderer=renderer, applier=FakeApplier(kernel))

    def of(self, _attachments):
        return self.backend

    def obstacle(self, _attachments, path):
        return f"no backend reaches {path}"

    def others(self, _chosen):
        return ()


class Agreeing:
    """A discoverer that finds everything as claimed."""

    def discover(self, claim, links):  # noqa: ARG002 - the Protocol's signature
        return Discovery(attachment=claim)


class Clock:
    """Stands still until the test moves it. Retries come as late as they may: there is no jitter."""

    now = 1000.0

    def __call__(self):
        return self.now


class Node:
    """An agent on a kernel in memory, and the outcomes that it reported."""

    def __init__(  # noqa: PLR0917 - parts, most by their names
        self,
        kernel=None,
        renderer=None,
        discoverer=None,
        links=None,
        monitor=None,
        finalize_after=0,
        outside=None,
        clock=time.monotonic,
        here=None,
        **addresses,
    ):
        own, peers = (addresses.get(name) for name in ("own_addresses", "peer_addresses"))
        self.kernel, self.clock = kernel or FakeKernel(), clock
        self.choice = OneBackend(self.kernel, renderer or FakeRenderer())
        self.told = []
        self.agent = Agent(
            cluster=ClusterState(
                common=CommonRules(),
                claimed=frozenset({"macvlan"}),
                node=here,
                peer_addresses=peers or AddressSource.NETWORK_STATUS,
            ),
            backends=self.choice,
            locator=self.kernel,
            discoverers={"macvlan": discoverer or Agreeing()},
            pool=self.kernel,
            read_links=links or (lambda: ()),
            monitor=monitor,
            observe=self.told.append,
            own_addresses=own or AddressSource.KERNEL,
            finalize_after=finalize_after,
            outside=outside,
            clock=clock,
            jitter=lambda: 1.0,
        )

    def sync(self, *objects, gone=()):
        return self.agent.sync([*map(present, objects), *map(absent, gone)])

    def check_drift(self):
        return self.notice(Topic.RULES, sorted(self.agent.cluster.local_pods), 0.25)

    def look_again(self, names):
        return self.notice(Topic.LINKS, names, 1.25)

    def notice(self, topic, names, pause):
        """A monitor's notices, which are handled after a pause."""
        for name in names:
            self.agent.noticed(name, topic)
        self.agent.process(0)
        time.sleep(pause)
        return self.sync()

    def writes(self, name):
        return self.kernel.namespaces[named(name)].writes


def start(node, *more):
    for name in ("a", "b"):
        node.kernel.add(named(name))
    return node.sync(NET, namespace("default"), A, B, *more)


def results(sync):
    return {str(outcome.pod): outcome.result for outcome in sync.outcomes}


NET = network("net", "macvlan")
A = pod("a", status("net", "net1", "10.0.0.1"), labels={"app": "a"})
B = pod("b", status("net", "net1", "10.0.0.2"), labels={"app": "b"})
FROM_ALL = policy("p", networks=["net"], selector=selector(app="a"), ingress=[rule([pods()])])


def test_open_pods_are_written_to_at_first_sight_so_that_connections_are_tracked():
    """S41."""
    node = Node()
    assert results(start(node)) == {"default/a": Result.APPLIED, "default/b": Result.APPLIED}


def test_a_change_is_written_to_the_pods_that_it_affects_and_no_other():
    """S61."""
    node = Node()
    start(node)
    assert results(node.sync(FROM_ALL)) == {"default/a": Result.APPLIED}
    assert node.writes("b") == ["apply"]


class Moving(FakeKernel):
    """The sandbox of a pod is made anew under another path, and the old one is still there."""

    def locate(self, pod):
        return super().locate(evolve(pod, name=self.moved.get(pod.name, pod.name)))

    def __init__(self):
        super().__init__()
        self.moved = {}


def test_with_another_network_status_a_pod_is_in_another_sandbox():
    """S3, S61: the runtime is asked again, though the former sandbox has not gone yet."""
    node = Node(kernel=Moving())
    start(node)
    node.kernel.add(named("a-anew"))
    node.kernel.moved[A.name] = named("a-anew")
    node.sync(pod("a", status("net", "net1", "10.0.0.7"), labels={"app": "a"}))
    assert node.writes("a-anew") == ["apply"]


def test_membership_is_written_as_a_difference():
    """S61."""
    node = Node()
    start(node, FROM_ALL)
    node.kernel.add(named("c"))
    sync = node.sync(pod("c", status("net", "net1", "10.0.0.3")))
    assert results(sync) == {"default/a": Result.UPDATED, "default/c": Result.APPLIED}
    assert node.writes("a") == ["apply", "update"]
    fresh = node.agent.ruleset(named("a"))
    assert node.kernel.namespaces[named("a")].ruleset.sets == fresh.sets


def from_blocks(*cidrs, **fields):
    return policy("p", networks=["net"], ingress=[rule(map(block, cidrs), ["TCP/80"])], **fields)


def test_a_cidr_is_written_as_a_difference_to_all_pods():
    """S61: no rule is written for it."""
    node = Node()
    start(node, from_blocks("10.1.0.0/16"))
    sync = node.sync(from_blocks("10.1.0.0/16", "10.2.0.0/16"))
    assert results(sync) == {"default/a": Result.UPDATED, "default/b": Result.UPDATED}
    assert results(node.sync(from_blocks("10.2.0.0/16"))) == results(sync)
    for name in ("a", "b"):
        assert node.writes(name) == ["apply", "update", "update"]
        assert node.kernel.namespaces[named(name)].ruleset.sets == node.agent.ruleset(named(name)).sets


def test_rules_are_replaced_where_the_renderer_writes_other_rules_for_the_blocks():
    class Whole(FakeRenderer):
        def render_blocks_delta(self, _delta):
            return None

    node = Node(renderer=Whole())
    start(node, from_blocks("10.1.0.0/16"))
    assert results(node.sync(from_blocks("10.2.0.0/16"))) == {"default/a": Result.APPLIED, "default/b": Result.APPLIED}
    assert node.writes("a") == ["apply", "apply"]


def test_a_renderer_that_fails_at_blocks_fails_in_the_pod_alone():
    """S6: whatever a plugin raises is the outcome of its pods, and the old rules stay in force."""

    class Broken(FakeRenderer):
        def render_blocks_delta(self, delta):
            raise ValueError(delta.id)

    node = Node(renderer=Broken())
    start(node, from_blocks("10.1.0.0/16"))
    assert set(results(node.sync(from_blocks("10.2.0.0/16"))).values()) == {Result.APPLIED}


def test_blocks_of_an_audit_without_effect_are_not_written():
    """S71: beside an enforced policy its rules are not in the pod."""
    node = Node()
    audit = evolve(from_blocks("10.1.0.0/16"), enforcement=Enforcement.AUDIT)
    start(node, audit, evolve(from_blocks("10.9.0.0/16"), ref=ObjectRef("MultiNetworkPolicy", named("q"))))
    more = evolve(from_blocks("10.1.0.0/16", "10.2.0.0/16"), enforcement=Enforcement.AUDIT)
    assert Result.FAILED not in results(node.sync(more)).values()
    assert node.writes("a") == ["apply"]


def test_a_restarted_agent_takes_over_correct_rules_without_writing():
    """S62."""
    node = Node()
    start(node, FROM_ALL)
    heir = Node(kernel=node.kernel)
    assert results(heir.sync(NET, namespace("default"), A, B, FROM_ALL)) == {
        "default/a": Result.UNCHANGED,
        "default/b": Result.UNCHANGED,
    }
    assert node.writes("a") == ["apply"]


def test_a_policy_deleted_while_the_agent_was_away_leaves_nothing_behind():
    """S62."""
    node = Node()
    start(node, FROM_ALL)
    heir = Node(kernel=node.kernel)
    assert results(heir.sync(NET, namespace("default"), A, B)) == {
        "default/a": Result.APPLIED,
        "default/b": Result.UNCHANGED,
    }


def test_a_refused_change_leaves_the_old_state_and_is_tried_again():
    """S60."""
    node = Node()
    start(node, FROM_ALL)
    before = node.kernel.namespaces[named("a")].ruleset
    node.kernel.namespaces[named("a")].refuse = True
    sync = node.sync(gone=[FROM_ALL])
    assert results(sync) == {"default/a": Result.FAILED}
    assert node.kernel.namespaces[named("a")].ruleset is before
    assert [(str(r.about), r.reason) for r in sync.reports] == [("Pod default/a", Reason.ENFORCEMENT_FAILED)]
    node.kernel.namespaces[named("a")].refuse = False
    sync = node.sync()
    assert results(sync) == {"default/a": Result.APPLIED}
    assert sync.reports == ()


def test_a_refused_difference_is_followed_by_a_replacement():
    node = Node()
    start(node, FROM_ALL)
    namespace_of_a = node.kernel.namespaces[named("a")]
    namespace_of_a.ruleset = None  # another process removed everything
    node.kernel.add(named("c"))
    sync = node.sync(pod("c", status("net", "net1", "10.0.0.3")))
    of_a = [(outcome.result, outcome.drifted) for outcome in sync.outcomes if outcome.pod == named("a")]
    assert of_a == [(Result.APPLIED, True)]
    assert sync.reports == ()
    assert namespace_of_a.ruleset == node.agent.ruleset(named("a"))


def test_a_pod_without_a_sandbox_delays_no_other_and_is_reported():
    """S64."""
    node = Node()
    node.kernel.add(named("b"))
    sync = node.sync(NET, namespace("default"), A, B)
    assert results(sync) == {"default/a": Result.FAILED, "default/b": Result.APPLIED}
    assert [outcome.transient for outcome in sync.outcomes if outcome.pod == A.name] == [True]
    assert sync.reports == (), "the API tells of a pod before the runtime has made its sandbox"
    for _ in range(4):
        sync = node.sync()
    assert [(outcome.pod, outcome.transient) for outcome in sync.outcomes] == [(A.name, False)]
    assert [(str(report.about), report.reason) for report in sync.reports] == [
        ("Pod default/a", Reason.ENFORCEMENT_FAILED)
    ]


def test_a_renderer_that_fails_for_one_pod_fails_for_this_pod_alone():
    """S6."""

    class Picky(FakeRenderer):
        def render(self, policy):
            if policy.interfaces[0].ingress != OPEN:
                raise KeyError("a plugin's own mistake")
            return super().render(policy)

    node = Node(renderer=Picky())
    assert results(start(node, FROM_ALL)) == {"default/a": Result.FAILED, "default/b": Result.APPLIED}


@pytest.mark.parametrize("discoverer", ["raises", "denies"])
def test_findings_of_a_discoverer_are_reported_and_the_rules_hold_all_the_same(discoverer):
    """S64."""

    class Finding:
        def discover(self, claim, links):
            if discoverer == "raises":
                raise RuntimeError("a plugin's own mistake")
            assert links == [Link(name="net1", index=2)]
            return Discovery(attachment=claim, unenforceable="there is no such interface")

    node = Node(discoverer=Finding(), links=lambda: [Link(name="net1", index=2)])
    sync = start(node, FROM_ALL)
    assert set(results(sync).values()) == {Result.APPLIED}
    assert {str(report.about) for report in sync.reports} == {"Pod default/a", "Pod default/b"}


def test_a_policy_on_an_unclaimed_network_is_reported_until_it_is_claimed():
    """S64."""
    node = Node()
    sync = start(node, network("odd", "ovs"), policy("q", networks=["odd", "gone"], ingress=[]))
    assert [(str(report.about), report.reason) for report in sync.reports] == [
        ("MultiNetworkPolicy default/q", Reason.UNCLAIMED_TYPE),
        ("MultiNetworkPolicy default/q", Reason.UNKNOWN_NETWORK),
    ]
    sync = node.sync(network("odd", "macvlan"))
    assert [report.reason for report in sync.reports] == [Reason.UNKNOWN_NETWORK]
    assert node.sync(policy("q", networks=["odd"], ingress=[])).reports == ()


def test_removed_rules_come_back_and_are_reported():
    """S63."""
    node = Node()
    start(node, FROM_ALL)
    assert node.check_drift().outcomes == ()
    tampered = node.kernel.namespaces[named("a")]
    tampered.commit(None, "somebody else")
    [outcome] = node.check_drift().outcomes
    assert (str(outcome.pod), outcome.result, outcome.drifted) == ("default/a", Result.APPLIED, True)
    assert tampered.ruleset == node.agent.ruleset(named("a"))
    assert node.writes("b") == ["apply"]


def test_a_change_of_membership_right_after_does_not_hide_a_foreign_change():
    """S63: agents rest before they look, and nodes where pods come and go all the time have no quiet moment."""
    node = Node()
    start(node, FROM_ALL)
    tampered = node.kernel.namespaces[named("a")]
    tampered.commit(evolve(tampered.ruleset, digest="somebody's"), "somebody else")
    node.kernel.add(named("c"))
    assert results(node.sync(pod("c", status("net", "net1", "10.0.0.3"))))["default/a"] == Result.UPDATED
    [outcome] = node.check_drift().outcomes
    assert (outcome.pod, outcome.result, outcome.drifted) == (named("a"), Result.APPLIED, True)
    assert tampered.ruleset == node.agent.ruleset(named("a"))
    assert node.check_drift().outcomes == ()


def test_rules_already_written_by_another_agent_are_no_failure():
    """S62: during a handover on a node, both agents follow all changes."""
    node, c = Node(), pod("c", status("net", "net1", "10.0.0.3"))
    start(node, FROM_ALL, c)
    heir = Node(kernel=node.kernel)
    start(heir, FROM_ALL, c)
    node.sync(gone=[c])
    assert results(heir.sync(gone=[c])) == {}
    assert node.writes("a") == ["apply", "update"]
    assert heir.check_drift().outcomes == node.check_drift().outcomes == ()


def test_a_change_of_others_is_not_called_drift():
    """S49, S63."""
    node = Node()
    start(node, FROM_ALL)
    node.kernel.namespaces[named("a")].generation += 1
    assert node.check_drift().outcomes == ()
    assert node.writes("a") == ["apply"]


def test_a_pod_that_loses_its_attachments_is_cleaned():
    """S62."""
    node = Node()
    start(node, FROM_ALL)
    assert results(node.sync(pod("a", labels={"app": "a"}))) == {"default/a": Result.REMOVED}


def test_a_sandbox_that_was_made_anew_is_noticed_though_no_object_changed():
    """S61: a runtime does that, and with fixed addresses the pod looks the same."""
    node = Node()
    start(node, FROM_ALL)
    node.kernel.namespaces[named("a")] = FakeNamespace()
    node.agent.watch()
    node.agent.process(0)
    assert node.writes("a") == ["apply"]
    assert node.kernel.namespaces[named("a")].ruleset == node.agent.ruleset(named("a"))


def test_a_sandbox_that_was_made_anew_is_found_when_something_is_to_be_written_there():
    """S61."""
    node = Node()
    start(node)
    node.kernel.namespaces[named("a")] = FakeNamespace()
    sync = node.sync(FROM_ALL)
    assert results(sync) == {"default/a": Result.APPLIED}
    assert node.kernel.namespaces[named("a")].ruleset == node.agent.ruleset(named("a"))


def test_leftovers_of_an_earlier_agent_in_a_pod_without_attachments_are_removed():
    """S62: its attachments went while no agent ran."""
    node = Node()
    start(node, FROM_ALL)
    heir = Node(kernel=node.kernel)
    sync = heir.sync(NET, namespace("default"), pod("a", labels={"app": "a"}), B, pod("c"))
    assert results(sync) == {"default/a": Result.REMOVED, "default/b": Result.UNCHANGED}
    assert sync.reports == ()


def test_a_pod_that_fails_is_tried_again_by_itself_and_less_and_less_often():
    """S64."""
    clock = Clock()
    node = Node(clock=clock)
    start(node)
    node.kernel.namespaces[named("a")].refuse = True
    node.agent.submit([present(FROM_ALL)])
    node.agent.process(0)
    assert [outcome.result for outcome in node.told[-1:]] == [Result.FAILED]
    delays = []
    for _ in range(4):
        told, began = len(node.told), clock.now
        process_until(node, lambda told=told: len(node.told) > told)
        delays.append(clock.now - began)
    assert delays[0] < delays[3] < 5
    node.kernel.namespaces[named("a")].refuse = False
    process_until(node, lambda: node.told[-1].result is not Result.FAILED)
    assert (node.told[-1].result, node.agent.reports()) == (Result.APPLIED, ())


def test_a_pod_that_is_about_to_go_may_have_lost_its_sandbox():
    """S5, S64: it counts until it is gone, but there is nothing to enforce policy on, and nothing to report."""
    node = Node()
    start(node, FROM_ALL)
    del node.kernel.namespaces[A.name]
    sync = node.sync(evolve(A, terminating=True))
    assert (sync.outcomes, sync.reports) == ((), ())
    node.agent.watch()
    node.agent.process(0)
    assert (node.agent.synced_once, node.agent.reports()) == (True, ())
    assert node.agent.cluster.claims(A.name)


def test_a_pod_that_was_made_anew_under_its_old_name_is_another_one():
    node = Node()
    start(node, FROM_ALL)
    node.kernel.namespaces[named("a")] = FakeNamespace()
    sync = node.sync(evolve(A, uid="another"))
    assert results(sync) == {"default/a": Result.APPLIED}


def test_foreign_changes_during_an_update_are_looked_for():
    """S63."""

    class Disturbed(FakeApplier):
        def update(self, delta):
            super().update(delta)
            node.kernel.inside.commit(None, "somebody else")
            return False

    node = Node()
    node.choice.backend = evolve(node.choice.backend, applier=Disturbed(node.kernel))
    start(node, FROM_ALL)
    node.kernel.add(named("c"))
    sync = node.sync(pod("c", status("net", "net1", "10.0.0.3")))
    assert results(sync)["default/a"] is Result.UPDATED
    [mended] = node.check_drift().outcomes
    assert (str(mended.pod), mended.drifted) == ("default/a", True)


def test_foreign_changes_during_a_read_are_looked_for():
    """S63."""

    class Raced(FakeApplier):
        def installed(self):
            found = super().installed()
            if found is not None and not raced:
                raced.append(True)
                node.kernel.inside.commit(None, "somebody else")
            return found

    first = Node()
    start(first, FROM_ALL)
    raced, node = [], Node(kernel=first.kernel)
    node.choice.backend = evolve(node.choice.backend, applier=Raced(node.kernel))
    assert set(results(node.sync(NET, namespace("default"), A, B, FROM_ALL)).values()) == {Result.UNCHANGED}
    [mended] = node.check_drift().outcomes
    assert (mended.result, mended.drifted) == (Result.APPLIED, True)


def test_a_stamp_hides_nothing_from_an_applier_that_compares():
    """S63: a process in the pod rewrote the rules and their stamp; then the agent started again."""

    class Comparing(FakeApplier):
        def is_in_force(self, ruleset):
            return self._kernel.inside.ruleset == ruleset

    first = Node()
    start(first, FROM_ALL)
    forged = first.kernel.namespaces[named("a")]
    forged.ruleset = evolve(forged.ruleset, text="everything is allowed")
    heir = Node(kernel=first.kernel)
    heir.choice.backend = evolve(heir.choice.backend, applier=Comparing(heir.kernel))
    assert results(heir.sync(NET, namespace("default"), A, B, FROM_ALL)) == {
        "default/a": Result.APPLIED,
        "default/b": Result.UNCHANGED,
    }


def test_a_replacement_that_cannot_be_finished_is_not_tried_all_the_time():
    class Unfinished(FakeApplier):
        def commit(self, ruleset):
            self.apply(ruleset)

            def rest():
                raise ApplyError("refused: there is no stamp")

            return rest

    clock = Clock()
    node = Node(clock=clock)
    for name in ("a", "b"):
        node.kernel.add(named(name))
    node.choice.backend = evolve(node.choice.backend, applier=Unfinished(node.kernel))
    node.agent.submit(map(present, (NET, namespace("default"), A, B)))
    end = clock.now + 1
    process_until(node, lambda: clock.now > end)
    assert node.writes("a") == ["apply"]
    assert [report.reason for report in node.agent.reports()] == [Reason.ENFORCEMENT_FAILED] * 2


class Staged(FakeApplier):
    """Bookkeeping, invisible to packets, is a step of its own, which is noted."""

    def commit(self, ruleset):
        self.apply(ruleset)
        return lambda: self.finished.append(self._kernel.inside)


@pytest.fixture
def staged():
    """A node that has just written everything, and its finished operations."""
    node = Node(finalize_after=1, clock=Clock())
    for name in ("a", "b"):
        node.kernel.add(named(name))
    node.choice.backend = evolve(node.choice.backend, applier=Staged(node.kernel))
    node.choice.backend.applier.finished = finished = []
    node.agent.submit(map(present, (NET, namespace("default"), A, B, FROM_ALL)))
    process_until(node, lambda: len(node.told) == 2)
    assert finished == []
    return node, finished


def process_until(node, condition):
    """Let the node's clock go on in steps, for some seconds at most."""
    end = node.clock.now + 5
    node.agent.process(0)
    while not condition():
        assert node.clock.now < end
        node.clock.now += 0.05
        node.agent.process(0)


def test_bookkeeping_waits_until_every_pod_has_its_rules(staged):
    node, finished = staged
    began = node.clock.now
    process_until(node, lambda: len(finished) == 2)
    assert node.clock.now - began > 0.5


def test_a_big_ruleset_is_finalized_before_the_next_one_is_written(monkeypatch):
    """It is kept until then: the memory of all big ones at once is that of one."""
    monkeypatch.setattr(agent_module, "BIG_LINES", 1)
    monkeypatch.setattr(scheduler, "BIG_LINES", 1)
    monkeypatch.setattr(scheduler, "_MOST_LINES", 1)
    node, steps = Node(finalize_after=1, clock=Clock()), []

    class Stepping(FakeApplier):
        def commit(self, ruleset):
            self.apply(ruleset)
            steps.append("written")
            return lambda: steps.append("finalized")

    for name in ("a", "b"):
        node.kernel.add(named(name))
    node.choice.backend = evolve(node.choice.backend, applier=Stepping(node.kernel))
    node.agent.submit(map(present, (NET, namespace("default"), A, B, from_blocks("10.1.0.0/16", "10.2.0.0/16"))))
    process_until(node, lambda: len(steps) == 4)
    assert steps == ["written", "finalized"] * 2


def test_unfinished_bookkeeping_completes_when_the_node_stops(staged):
    """S62: else the next process would have to write it again."""
    node, finished = staged
    node.agent.drain()
    while node.agent.busy:
        node.agent.process(1)
    assert len(finished) == 2


def test_foreign_commits_right_after_ours_are_found_when_the_replacement_is_finalized(staged):
    """S63: by its number it looks like our own commit; a change of membership in between hides nothing either."""
    node, _ = staged
    tampered, untouched = (node.kernel.namespaces[named(name)] for name in ("a", "b"))
    tampered.commit(evolve(tampered.ruleset, digest="somebody's"), "somebody else")
    tampered.generation -= 1
    node.agent.submit([present(evolve(B, statuses=(status("net", "net1", "10.0.0.3"),)))])
    process_until(node, lambda: node.agent.ruleset(named("a")) == tampered.ruleset)
    process_until(node, lambda: any(outcome.drifted for outcome in node.told))
    assert {str(outcome.pod) for outcome in node.told if outcome.drifted} == {"default/a"}
    assert "10.0.0.3" in str(tampered.ruleset.sets)
    assert untouched.writes == ["apply"]


def test_a_change_of_membership_does_not_wait_for_bookkeeping(staged):
    node, finished = staged
    began = node.clock.now
    node.agent.submit([present(evolve(B, statuses=(status("net", "net1", "10.0.0.3"),)))], began)
    process_until(node, lambda: any(outcome.result is Result.UPDATED for outcome in node.told))
    assert node.clock.now - began < 0.5
    assert finished


class Silent:
    """A monitor without listeners; the test delivers its notifications."""

    def listen(self, key, listeners, generation_of=None):  # noqa: ARG002 - the Protocol's signature
        for listener in listeners.values():
            listener.close()

    def forget(self, key):
        pass


@pytest.mark.root
def test_a_pod_that_floods_its_own_sandbox_is_looked_at_now_and_then():
    looks, clock = [], Clock()
    node = Node(links=lambda: looks.append(clock.now) or (), monitor=Silent(), clock=clock)
    start(node, FROM_ALL)
    posted = []
    node.agent.post, post = posted.append, node.agent.post
    for _ in range(10_000):
        node.agent.noticed(A.name, Topic.LINKS)
    assert len(posted) == 1
    node.agent.post = post
    post(*posted)
    before, end = len(looks), clock.now + 2
    while clock.now < end:
        node.agent.noticed(A.name, Topic.LINKS)
        node.agent.process(0)
        clock.now += 0.01
    assert 1 <= len(looks) - before <= 3


def test_copies_of_a_pod_are_rendered_once():
    """S61: the cost of a change follows its size, not the number of pods that it concerns."""

    class Counting(FakeRenderer):
        rendered = 0

        def render(self, policy):
            self.rendered += 1
            return super().render(policy)

    renderer = Counting()
    node = Node(renderer=renderer)
    for name in "abcdefgh":
        node.kernel.add(named(name))
    copies = [pod(name, status("net", "net1", f"10.0.0.{number}")) for number, name in enumerate("abcdefgh", 1)]
    sync = node.sync(NET, namespace("default"), policy("p", networks=["net"], ingress=[rule([pods()])]), *copies)
    assert len(sync.outcomes) == 8
    assert renderer.rendered == 1
    node.sync(evolve(copies[0], labels={"app": "other"}), policy("p", networks=["net"], ingress=[]))
    assert renderer.rendered == 2


def test_latency_counts_from_the_arrival_of_the_oldest_change():
    node = Node()
    start(node)
    node.agent.submit([present(FROM_ALL)], received_at=time.monotonic() - 5)
    node.agent.process(0)
    assert 5 <= node.told[-1].latency < 8
    assert start(Node()).outcomes[0].latency is None


def test_each_affected_pod_has_its_own_latency_and_a_pod_that_waits_delays_none():
    """`mnp_event_to_enforced_seconds` has one observation per pod."""
    node = Node()
    start(node)
    node.told.clear()
    del node.kernel.namespaces[B.name]
    node.agent.submit([present(FROM_ALL)], received_at=time.monotonic() - 5)
    node.agent.process(0)
    assert [outcome.pod for outcome in node.told if outcome.latency is not None] == [A.name]


def test_a_pod_that_has_gone_is_forgotten():
    node = Node()
    start(node, FROM_ALL)
    del node.kernel.namespaces[A.name]
    assert node.sync(gone=[A]).outcomes == ()
    assert node.check_drift().outcomes == ()


def test_rules_in_force_agree_with_evaluate():
    node = Node()
    start(node, FROM_ALL)
    sandbox = node.agent.cluster.sandbox_policy(named("a"))
    assert evaluate(sandbox, "net1", Direction.INGRESS, packet("10.0.0.2", "10.0.0.1")).allowed
    assert not evaluate(sandbox, "net1", Direction.INGRESS, packet("10.0.0.9", "10.0.0.1")).allowed


class Kernel:
    """A discoverer that finds these addresses on everything."""

    def __init__(self, *addresses):
        self.addresses = addresses

    def discover(self, claim, links):  # noqa: ARG002 - the Protocol's signature
        return Discovery(attachment=evolve(claim, addresses=tuple(map(parse_address, self.addresses))))


def allowed(node, name):
    sets = node.kernel.namespaces[named(name)].ruleset.sets
    return {element for elements in sets.values() for element in elements}


def test_a_peer_is_known_by_network_status_unless_the_settings_believe_the_kernel():
    doubtful = Node(discoverer=Kernel("10.0.0.77"))
    start(doubtful, FROM_ALL)
    assert allowed(doubtful, "a") == {"10.0.0.1", "10.0.0.2"}
    assert doubtful.agent.attachments(B.name)[0].addresses == (parse_address("10.0.0.77"),)
    believing = Node(discoverer=Kernel("10.0.0.77"), peer_addresses=AddressSource.KERNEL)
    start(believing, FROM_ALL)
    assert allowed(believing, "a") == {"10.0.0.77"}


def test_a_change_of_addresses_is_a_difference_for_others_and_writes_nothing_else():
    discoverer = Kernel()
    node = Node(discoverer=discoverer, peer_addresses=AddressSource.KERNEL)
    start(node, FROM_ALL)
    assert allowed(node, "a") == set()
    discoverer.addresses = ("10.0.0.5",)  # DHCP gave it one
    sync = node.look_again([B.name])
    assert results(sync) == {"default/a": Result.UPDATED}
    assert allowed(node, "a") == {"10.0.0.5"}
    assert node.writes("b") == ["apply"]
    assert node.look_again([A.name, B.name, named("unknown")]).outcomes == ()


def test_addresses_that_were_found_are_forgotten_with_the_pod():
    node = Node(discoverer=Kernel("10.0.0.5"), peer_addresses=AddressSource.KERNEL)
    start(node, FROM_ALL)
    node.sync(gone=[B])
    elsewhere = evolve(B, node="other")
    node.agent.cluster.apply([present(elsewhere)])
    assert {str(m) for g in node.agent.cluster.sandbox_policy(A.name).groups.values() for m in g.members} == {
        "10.0.0.2",
        "10.0.0.5",
    }


def test_own_addresses_are_as_claimed_if_the_settings_say_so():
    node = Node(discoverer=Kernel("10.0.0.77"), own_addresses=AddressSource.NETWORK_STATUS)
    start(node)
    assert node.agent.attachments(B.name)[0].addresses == (parse_address("10.0.0.2"),)


def test_a_failure_says_why_in_one_word_and_with_which_backend():
    node = Node()
    web = pod("web", status("net", "net1", "10.0.0.1"))
    node.kernel.add(web.name).refuse = True
    node.agent.sync(map(present, (namespace("default"), network("net", "macvlan"), web, policy("p", networks=["net"]))))
    [outcome] = node.told
    assert (outcome.result, outcome.failure, outcome.backend) == (Result.FAILED, Failure.REFUSED, "fake")


def test_a_pass_reports_new_and_resolved_problems_and_not_all_standing_ones():
    """S64: the cost of a change is independent of the number of problems elsewhere."""
    node = Node()
    start(node)
    junk = [Change(ref=problem(n).about, object=None, reports=(problem(n),)) for n in range(50)]
    node.agent.submit(junk)
    told = []
    while node.agent.has_reports:  # a few objects at a time
        told += node.agent.take_sync().appeared
    assert len(told) == 50
    node.agent.submit([evolve(junk[7], reports=())])
    sync = node.agent.take_sync()
    assert (sync.appeared, sync.vanished, sync.reports) == ((), (problem(7),), ())
    assert node.agent.take_sync() is None
    assert len(node.agent.reports()) == 49


def problem(number):
    about = ObjectRef("MultiNetworkPolicy", ObjectName("default", f"junk-{number:02}"))
    return Report(about=about, field="spec", reason=Reason.MALFORMED, message="it is odd", remedy="Mend it")


def test_a_namespace_relabelled_in_slices_is_enforced_to_the_last_pod():
    """S61: all that a pass leaves to do is done in turns with other changes, and `sync` waits for it."""
    crowd = [pod(f"y/d{n}", status("default/net", "net1", f"10.1.{n >> 8}.{n & 255}"), node="n2") for n in range(1200)]
    green = policy("p", networks=["net"], ingress=[rule([pods_across(selector(team="green"))])])
    node, mine = Node(here="n1"), evolve(A, node="n1")
    node.kernel.add(A.name)
    node.sync(NET, namespace("default"), namespace("y", team="red"), mine, green, *crowd)
    node.sync(namespace("y", team="green"))
    (group,) = node.agent.cluster.sandbox_policy(A.name).groups.values()
    assert len(group.members) == 1200
    assert node.kernel.namespaces[A.name].ruleset.sets == node.agent.ruleset(A.name).sets
    assert node.writes("a") == ["apply", "update", "update", "update"]


# --- audit mode -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("refuses", [frozenset({Feature.AUDIT}), frozenset()])
def test_an_audit_on_a_backend_without_audit_mode_is_reported(refuses):
    """S74: as long as it would have an effect."""
    node = Node()
    node.kernel.add(named("a"))
    node.choice.backend = evolve(node.choice.backend, refuses=refuses)
    audit = evolve(policy("try", networks=["net"], ingress=[]), enforcement=Enforcement.AUDIT)
    node.sync(network("net", "macvlan"), namespace("default"), pod("a", status("net", "net1", "10.0.0.1")), audit)

    def reported():
        return [(str(each.about), each.field) for each in node.agent.cluster.reports()]

    field = "metadata.annotations[mnp.k8s.cni.cncf.io/enforcement]"
    expected = [("MultiNetworkPolicy default/try", field)] if refuses else []
    assert reported() == expected
    node.sync(policy("close", networks=["net"], ingress=[]))
    assert reported() == []
    node.sync(gone=[policy("close", networks=["net"])])
    assert reported() == expected
    node.sync(gone=[audit])
    assert reported() == []
