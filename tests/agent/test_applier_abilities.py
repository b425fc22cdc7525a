"""The agent's use of optional abilities of appliers: cheap checks, filters bound to interfaces, pins."""

from attrs import evolve

from mnp_core.api import Result, Sandbox
from mnp_core.errors import UnsupportedError
from mnp_core.model import Delta, Installed
from mnp_core.sandbox.monitor import Topic
from mnp_core.sandbox.outside import OutsideState
from mnp_core.testing import fakes
from mnp_core.testing.builders import named, pod, pods, policy, rule, selector, status
from mnp_core.testing.fakes import FakeApplier, FakeRenderer
from tests.agent.test_agent import FROM_ALL, Clock, Node, results, start


def with_applier(applier, **parts):
    node = Node(**parts)
    node.choice.backend = evolve(node.choice.backend, applier=applier(node.kernel))
    return node, node.choice.backend.applier


def settled(node, seconds=5):
    """The outcomes of all operations begun by now, and of their successors."""
    before = len(node.told)
    node.agent.process(seconds)
    while node.agent.busy:
        node.agent.process(seconds)
    return node.told[before:]


# --- filters that are bound to interfaces ---------------------------------------------------------------------------


class Bound(FakeApplier):
    """Knows that an interface appeared which its rules do not hold on."""

    late = False

    def generation(self):
        return super().generation() * 2 + self.late

    def installed(self):
        found = super().installed()
        return found and evolve(found, incomplete=self.late)

    def apply(self, ruleset):
        super().apply(ruleset)
        self.late = False


def test_an_interface_that_appears_late_is_bound_and_is_no_drift():
    """S63: no rule was changed; S64: and the interface does not stay open."""
    node, applier = with_applier(Bound)
    start(node, FROM_ALL)
    applier.late = True
    node.agent.noticed(named("a"), Topic.LINKS)
    node.agent.process(0)
    [outcome] = settled(node)
    assert (str(outcome.pod), outcome.result, outcome.drifted) == ("default/a", Result.APPLIED, False)
    assert not applier.late


def test_rules_that_were_changed_are_drift_although_an_interface_is_late_too():
    """S63."""
    node, applier = with_applier(Bound)
    start(node, FROM_ALL)
    namespace = node.kernel.namespaces[named("a")]
    namespace.commit(evolve(namespace.ruleset, digest=""), "tampered")
    applier.late = True
    node.agent.noticed(named("a"), Topic.LINKS)
    node.agent.process(0)
    assert [(outcome.result, outcome.drifted) for outcome in settled(node)] == [(Result.APPLIED, True)]


def test_incomplete_rules_match_no_ruleset_and_are_still_of_it():
    node = Node()
    start(node, FROM_ALL)
    ruleset = node.agent.ruleset(named("a"))
    found = Installed(digest=ruleset.digest, sets=ruleset.sets, incomplete=True)
    assert (found.matches(ruleset), found.is_of(ruleset)) == (False, True)


# --- cheap and costly questions -------------------------------------------------------------------------------------


class Costly(FakeApplier):
    asked = 0
    quick = 0

    def generation(self):
        self.asked += 1
        return super().generation()

    def quick_generation(self):
        return self.quick


def test_a_costly_generation_is_not_asked_every_second():
    """S63: without notifications the cheap check runs instead, and now and then the costly one."""
    clock = Clock()
    node, applier = with_applier(Costly, clock=clock)
    start(node, FROM_ALL)
    for _ in range(2):  # the first check of each pod is thorough
        node.agent.watch()
        node.agent.process(0)
    asked = applier.asked
    for _ in range(5):
        node.agent.watch()
        node.agent.process(0)
    assert applier.asked == asked
    node.kernel.namespaces[named("a")].commit(None, "tampered")  # the cheap question does not tell
    clock.now += 31
    node.agent.watch()
    outcomes = settled(node, 0)
    assert [(str(each.pod), each.drifted) for each in outcomes] == [("default/a", True)]


def test_drift_seen_by_generation_is_repaired_at_the_next_watch():
    """S63."""
    node, applier = with_applier(Costly)
    start(node, FROM_ALL)
    node.agent.watch()
    node.agent.process(0)
    node.kernel.namespaces[named("a")].commit(None, "tampered")
    applier.quick += 1
    node.agent.watch()
    assert [(str(each.pod), each.drifted) for each in settled(node, 0)] == [("default/a", True)]


# --- sets of several groups -----------------------------------------------------------------------------------------


class Indexing(FakeRenderer):
    """Has a set ``index`` with the members of all groups."""

    def render(self, policy):
        ruleset = super().render(policy)
        sets = {**ruleset.sets, "index": frozenset().union(*ruleset.sets.values())}
        return evolve(ruleset, sets=sets, text=fakes._text(ruleset.digest, sets))

    def render_sandbox_delta(self, deltas, policy):
        after = self.render(policy).sets
        changed = {delta.id: delta.before for delta in reversed(deltas)}
        before = self.render(evolve(policy, groups={**policy.groups, **changed})).sets
        added, removed = after["index"] - before["index"], before["index"] - after["index"]
        return Delta(dialect="fake", text="index", added={"index": added}, removed={"index": removed})


def test_sets_of_several_groups_follow_every_change_of_one():
    """S61: after the changes of the groups' own sets, and compared like these."""
    node = Node()
    node.choice.backend = evolve(node.choice.backend, renderer=Indexing())
    start(node, FROM_ALL)
    kernel = node.kernel.namespaces[named("a")]
    node.kernel.add(named("c"))
    for address in ("10.0.0.3", "10.0.0.4"):
        assert results(node.sync(pod("c", status("net", "net1", address))))["default/a"] is Result.UPDATED
        assert kernel.ruleset.sets == node.agent.ruleset(named("a")).sets
        assert address in kernel.ruleset.sets["index"]
    assert "10.0.0.3" not in kernel.ruleset.sets["index"]


# --- state outside of network namespaces ----------------------------------------------------------------------------


class Pins:
    """An applier's state outside of namespaces."""

    def __init__(self):
        self.calls = []

    def forget(self, sandbox):
        self.calls.append(("forget", sandbox.inode))

    def sweep(self, known):
        self.calls.append(("sweep", sorted(each.inode for each in known)))


def no_others(_hidden):
    return ()


def box(inode, path="x"):
    return Sandbox(path=path, device=4, inode=inode)


def test_at_start_everything_is_swept_but_sandboxes_known_to_the_machine_or_the_agent():
    """S62: once, and without the state of a pod that the agent has but the list lacks."""
    pins = Pins()
    outside = OutsideState({"pins": pins}, lambda _: [box(1), box(2)])
    for now in (0.0, 1.0, 1000.0):
        outside.tend([box(2), box(3)], lambda _: True, now)
    assert pins.calls == [("sweep", [1, 2, 3])]


def test_nothing_is_swept_while_a_pod_is_not_found_and_may_be_in_a_namespace_that_is_hidden():
    """Else its rules would go while it runs."""
    pins = Pins()

    def listed(hidden):
        hidden(UnsupportedError("SYS_PTRACE is missing"))
        return [box(1)]

    outside = OutsideState({"pins": pins}, listed)
    outside.tend([box(2), None], lambda _: True, 0.0)
    outside.tend([box(2), box(3)], lambda _: True, 1.0)
    assert pins.calls == []
    outside.tend([box(2), box(3)], lambda _: True, 6.0)
    assert pins.calls == [("sweep", [1, 2, 3])]


def test_a_sandbox_that_no_pod_has_any_more_is_swept_only_when_it_is_gone():
    pins = Pins()
    outside = OutsideState({"pins": pins}, no_others)
    outside.leave(box(1))
    outside.tend([], lambda _: True, 0.0)
    assert pins.calls == [("sweep", [1])]


def test_a_sandbox_is_forgotten_when_it_is_gone_and_not_when_its_pod_is():
    """Containers of a pod that was deleted by force may still run."""
    pins, there = Pins(), {1, 2}
    outside = OutsideState({"pins": pins}, no_others)
    outside.tend([], lambda _: True, 0.0)
    outside.leave(box(1))
    outside.tend([], lambda sandbox: sandbox.inode in there, 1.0)
    assert pins.calls == [("sweep", [])]
    there.discard(1)
    for now in (2.0, 3.0):
        outside.tend([], lambda sandbox: sandbox.inode in there, now)
    assert pins.calls == [("sweep", []), ("forget", 1)]


def test_state_of_a_new_sandbox_with_the_same_numbers_is_kept():
    """The kernel gives inodes of namespaces away again at once."""
    pins = Pins()
    outside = OutsideState({"pins": pins}, no_others)
    outside.tend([], lambda _: True, 0.0)
    outside.leave(box(1, "old"))
    outside.tend([box(1, "new")], lambda sandbox: sandbox.path == "new", 1.0)
    assert pins.calls == [("sweep", [])]


def test_a_plugin_that_cannot_forget_is_swept_again_later_and_holds_up_nothing():
    class Stuck(Pins):
        def forget(self, sandbox):
            raise OSError(16, f"inode {sandbox.inode} is busy")

    stuck, fine = Stuck(), Pins()
    outside = OutsideState({"stuck": stuck, "fine": fine}, no_others)
    outside.tend([], lambda _: True, 0.0)
    outside.leave(box(1))
    outside.tend([], lambda _: False, 1.0)
    assert fine.calls == [("sweep", []), ("forget", 1)]
    outside.tend([], lambda _: False, 30.0)
    assert stuck.calls == [("sweep", [])]
    outside.tend([], lambda _: False, 62.0)
    assert stuck.calls == [("sweep", []), ("sweep", [])]


def test_the_agent_forgets_sandboxes_of_pods_that_go_and_of_pods_whose_sandbox_is_made_anew():
    pins = Pins()
    node = Node(outside=OutsideState({"pins": pins}, no_others))
    start(node, FROM_ALL)
    first = {name: node.kernel.locate(pod(name)).inode for name in ("a", "b")}
    node.agent.watch()
    assert [what for what, _ in pins.calls] == ["sweep"]
    gone = node.kernel.namespaces.pop(named("b"))
    assert results(node.sync(gone=[pod("b", status("net", "net1", "10.0.0.2"), labels={"app": "b"})])) == {
        "default/a": Result.UPDATED
    }
    replaced = node.kernel.namespaces.pop(named("a"))
    node.kernel.add(named("a"))
    for _ in range(2):
        node.agent.watch()
        node.agent.process(0)
    assert sorted(pins.calls[1:]) == sorted([("forget", first["a"]), ("forget", first["b"])])
    del gone, replaced  # kept until here, so that no other object has their numbers


# --- differences ----------------------------------------------------------------------------------------------------


class Structured(FakeRenderer):
    def render(self, policy):
        ruleset = super().render(policy)
        return evolve(ruleset, structure=("of", ruleset.digest))


class Differing(FakeApplier):
    """Writes differences on the generation that it is given, to rules that are exactly those that are said to be."""

    def commit_difference(self, sandbox, before, ruleset, generation):
        return self._commit(sandbox, before, ruleset, generation, "difference")

    def commit_members(self, sandbox, before, deltas, generation):
        ruleset = self._kernel.in_sandbox(sandbox).ruleset
        sets = ruleset.sets
        for delta in deltas:
            sets = fakes._changed(sets, delta)
        return self._commit(sandbox, before, evolve(ruleset, sets=sets), generation, "members")

    def _commit(self, sandbox, before, ruleset, generation, what):
        namespace = self._kernel.in_sandbox(sandbox)
        if namespace.generation != generation:
            return None
        found = namespace.ruleset
        assert (before.structure, before.sets) == (("of", found.digest), found.sets)
        namespace.commit(ruleset, what)
        return namespace.generation


C = pod("c", status("net", "net1", "10.0.0.3"))


def test_where_the_rules_in_force_are_known_the_difference_is_written():
    """S60."""
    node, _ = with_applier(Differing, renderer=Structured())
    start(node, FROM_ALL)
    node.kernel.add(named("c"))
    for changes in ((C,), (policy("q", networks=["net"], selector=selector(app="a"), ingress=[rule()]),)):
        node.sync(*changes)
    assert node.kernel.namespaces[named("a")].writes == ["apply", "members", "difference"]
    assert node.kernel.namespaces[named("a")].ruleset == node.agent.ruleset(named("a"))


class Failing(Differing):
    """Fails in one pod, with an error that no contract allows."""

    def commit_members(self, sandbox, *state):
        if sandbox.path == "default/a":
            raise ValueError("wrong")
        return super().commit_members(sandbox, *state)


def test_a_failure_of_one_pod_concerns_no_other_that_is_served_in_the_same_turn():
    """S6: and its rules are written in another way."""
    node, _ = with_applier(Failing, renderer=Structured())
    start(node, policy("p", networks=["net"], ingress=[rule([pods()])]))
    node.kernel.add(named("c"))
    outcomes = node.sync(C).outcomes
    found = {name: [each.result for each in outcomes if each.pod == named(name)] for name in ("a", "b")}
    assert found == {"a": [Result.FAILED, Result.APPLIED], "b": [Result.UPDATED]}
    assert node.kernel.namespaces[named("b")].writes == ["apply", "members"]
    assert node.kernel.namespaces[named("a")].ruleset == node.agent.ruleset(named("a"))


def test_after_a_foreign_commit_the_whole_is_read_and_written_again():
    """S63: and from then on the rules are known."""
    node, _ = with_applier(Differing, renderer=Structured())
    start(node, FROM_ALL)
    namespace = node.kernel.namespaces[named("a")]
    namespace.commit(evolve(namespace.ruleset, digest=""), "tampered")
    node.sync(policy("q", networks=["net"], selector=selector(app="a")))
    node.sync(policy("r", networks=["net"], selector=selector(app="a"), ingress=[rule()]))
    assert namespace.writes == ["apply", "tampered", "apply", "difference"]
    assert namespace.ruleset == node.agent.ruleset(named("a"))
