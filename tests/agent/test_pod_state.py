"""The state machine of a pod, with a clock and a kernel moved by the test: it ends in the wanted state (S60 to S64)."""

import ast
import math
from pathlib import Path

import pytest
from attrs import evolve, frozen
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import mnp_core.agent
from mnp_core.agent.pod_state import PodState
from mnp_core.agent.results import (
    Deadline,
    DriftSuspected,
    Finalization,
    Finalized,
    Inspected,
    Located,
    MembersUpdated,
    Operation,
    Replaced,
    Stamp,
    Verified,
)
from mnp_core.api import Failure, Result, Sandbox
from mnp_core.errors import ApplyError, InputError, PluginError, SandboxNotFoundError, UnsupportedError
from mnp_core.inspection import Findings
from mnp_core.model import ObjectName
from mnp_core.sandbox.monitor import Topic

POD = ObjectName("default", "a")
SANDBOX = Sandbox(path="/a", device=1, inode=1)
LONG = 1000.0  # seconds: longer than any pause
PERMANENT = [InputError("a number is too big"), UnsupportedError("no such feature"), PluginError("broken")]
TEMPORARY = [ApplyError("refused"), OSError(24, "too many open files"), SandboxNotFoundError("not yet")]


def stamp(generation, digest="rules"):
    return Stamp(digest=digest, generation=generation)


def replaced(generation=1, *, written=True):
    finalization = Finalization(ruleset=None) if written else None
    listeners = {Topic.RULES: None, Topic.LINKS: None}
    return Replaced(
        stamp=stamp(generation), written=written, finalization=finalization, listeners=listeners, commits_announced=True
    )


def started(now=0.0):
    """A pod whose rules are in force, finalized and inspected, by a commit with generation 1."""
    state = PodState(name=POD, incarnation=("uid", ()), monitored=True)
    state.require_replacement()
    for operation, result in (
        (Operation.LOCATE, Located(sandbox=SANDBOX)),
        (Operation.REPLACE, replaced()),
        (Operation.FINALIZE, Finalized(stamp=stamp(1))),
        (Operation.INSPECT, Inspected(findings=Findings(attachments=()))),
    ):
        assert state.next_operation(now) is operation
        state.start(operation, now)
        state.completed(result, now)
    assert state.next_operation(now) is None
    return state


def test_rules_are_in_force_when_the_last_replacement_asked_for_has_succeeded():
    """A gate lets the pod start then."""
    state = PodState(name=POD, incarnation=("uid", ()), monitored=True)
    assert not state.in_force
    state = started()
    assert state.in_force
    state.require_replacement()
    assert not state.in_force
    state.start(Operation.REPLACE, 0.0)
    assert not state.in_force
    state.failed(ApplyError("refused"), 0.0)
    assert not state.in_force
    state.start(Operation.REPLACE, LONG)
    state.completed(replaced(2), LONG)
    assert state.in_force
    state.sandbox_gone()
    assert not state.in_force


def test_changes_hurry_the_search_for_a_sandbox_but_do_not_count_as_tries():
    """Else a few of them would turn a sandbox that is awaited into one that is reported missing."""
    state = PodState(name=POD, incarnation=("uid", ()), monitored=True)
    for _ in range(20):
        state.require_replacement()
        assert state.next_operation(0.0) is Operation.LOCATE
        state.start(Operation.LOCATE, 0.0)
        state.failed(SandboxNotFoundError("not yet"), 0.0)
    assert state.retries.awaiting_sandbox
    for now in range(1, 5):
        state.start(Operation.LOCATE, now)
        state.failed(SandboxNotFoundError("not yet"), now)
    assert not state.retries.awaiting_sandbox


def test_one_operation_at_a_time():
    state = started()
    state.require_replacement()
    state.start(Operation.REPLACE, 0.0)
    state.require_replacement()
    assert state.next_operation(LONG) is None
    state.completed(replaced(2), 0.0)
    assert state.next_operation(0.0) is Operation.REPLACE


def test_changes_of_big_rules_are_collected_for_a_while():
    """A second for 10,000 lines, five at most; the first change is written at once, and drift waits for nothing."""
    state = started(now=100.0)
    state.require_replacement(big_lines=10_000)
    assert state.next_operation(101.5) is Operation.REPLACE
    state.start(Operation.REPLACE, 101.5)
    state.completed(replaced(2), 101.7)
    state.require_replacement(big_lines=10_000)
    assert state.next_operation(101.7) == Deadline(102.5)
    state.require_replacement(big_lines=1_000_000)
    assert state.next_operation(101.7) == Deadline(106.5)
    state.require_replacement()
    assert state.next_operation(101.7) is Operation.REPLACE, "it is small by now"
    state.require_replacement(big_lines=10_000)
    state.noticed(Topic.RULES, 101.7, frozenset({3}))
    assert state.next_operation(101.7) is Operation.REPLACE
    state.sandbox_gone()
    assert state.next_operation(101.7) is Operation.LOCATE


@pytest.mark.parametrize("when", ["before the result", "after the result"])
def test_a_commit_of_our_own_costs_no_check(when):
    """S63: in either order of announcement and result."""
    state = started()
    state.members_changed(None)
    state.start(Operation.UPDATE_MEMBERS, 1.0)
    if when == "before the result":
        state.noticed(Topic.RULES, 1.0, frozenset({2}))
    state.completed(MembersUpdated(stamp=stamp(2)), 1.0)
    if when == "after the result":
        state.noticed(Topic.RULES, 1.0, frozenset({2}))
    assert state.next_operation(1.0) is None


@pytest.mark.parametrize("ours", [2, 3])
def test_a_commit_of_others_beside_our_own_is_read(ours):
    """S63: the stamp has the number of the last of both; the other one is announced, too."""
    state = started()
    state.members_changed(None)
    state.start(Operation.UPDATE_MEMBERS, 1.0)
    state.noticed(Topic.RULES, 1.0, frozenset({2, 3}) if ours == 2 else frozenset({2}))
    state.completed(MembersUpdated(stamp=stamp(3)), 1.0)
    state.noticed(Topic.RULES, 1.0, frozenset({3}))
    pause = state.next_operation(1.0)
    assert isinstance(pause, Deadline)
    assert state.next_operation(pause.at) is Operation.REPLACE
    attempt = state.start(Operation.REPLACE, pause.at)
    assert (attempt.stamp, attempt.drift_suspected) == (None, True), "it is read, whatever the generation says"
    assert state.completed(replaced(4), pause.at).drifted


def test_changes_of_foreign_rules_are_no_drift():
    """S49."""
    state = started()
    state.noticed(Topic.RULES, 0.0, frozenset({9}))
    state.start(state.next_operation(1.0), 1.0)
    assert state.completed(replaced(9, written=False), 1.0) is None
    assert (state.drift_suspected, state.next_operation(LONG)) == (False, None)


def test_a_notice_without_a_generation_is_verified():
    """S63: an overflow, or a backend that announces none."""
    state = started()
    state.noticed(Topic.RULES, 0.0)
    assert state.next_operation(1.0) is Operation.VERIFY
    state.start(Operation.VERIFY, 1.0)
    state.completed(DriftSuspected(), 1.0)
    assert (state.next_operation(1.0), state.stamp) == (Operation.REPLACE, None)


def test_no_flood_of_notices_draws_out_the_pause():
    state = started()
    for tenth in range(100):
        state.noticed(Topic.LINKS, tenth / 100)
        if state.next_operation(tenth / 100) is Operation.VERIFY:
            break
    assert tenth / 100 < 0.5


@pytest.mark.parametrize("error", PERMANENT)
def test_a_permanent_error_waits_for_new_input(error):
    """S64."""
    state = started()
    state.require_replacement()
    state.start(Operation.REPLACE, 0.0)
    assert state.failed(error, 0.0)
    assert (state.retries.hopeless, state.next_operation(math.inf)) == (True, None)
    state.poll()
    assert state.next_operation(math.inf) is None
    state.require_replacement()
    assert state.next_operation(0.0) is Operation.REPLACE


def test_a_temporary_error_backs_off_and_lasts_after_some_tries():
    """S64."""
    state, now, pauses = started(), 0.0, []
    state.require_replacement()
    for _ in range(14):
        state.start(Operation.REPLACE, now)
        state.failed(ApplyError("refused"), now)
        pause = state.next_operation(now)
        pauses.append(pause.at - now)
        now = pause.at
        assert state.retries.hopeless is (len(pauses) >= 6)
    assert pauses == sorted(pauses)
    assert pauses[-1] == 300.0
    state.start(Operation.REPLACE, now)
    state.completed(replaced(2), now)
    assert (state.retries.hopeless, state.retries.error) == (False, "")


def test_a_sandbox_that_was_replaced_is_located_and_is_no_failure():
    """S61."""
    state = started()
    state.require_replacement()
    state.start(Operation.REPLACE, 0.0)
    assert not state.failed(SandboxNotFoundError("gone"), 0.0)
    assert (state.next_operation(0.0), state.retries.error) == (Operation.LOCATE, "")


def test_the_clock_is_an_argument_and_only_the_machine_writes_its_state():
    """Decisions must be readable in one place; a second writer would be a second machine."""
    folder = Path(mnp_core.agent.__file__).parent
    imported = {
        name.name.partition(".")[0]
        for module in ("pod_state.py", "retries.py")
        for node in ast.walk(ast.parse((folder / module).read_text()))
        if isinstance(node, ast.Import)
        for name in node.names
    }
    assert imported == {"math"}
    writers = [
        f"{path.name}:{node.lineno}"
        for path in folder.glob("*.py")
        if path.name != "pod_state.py"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store | ast.Del)
        if not (isinstance(node.value, ast.Name) and node.value.id == "self")
    ]
    assert writers == []


# --- any way -------------------------------------------------------------------------------------------------------


@frozen
class Kernel:
    """A sandbox: its rules, and the number of commits."""

    rules: str = ""
    generation: int = 10


class Life(RuleBasedStateMachine):
    """A pod whose policy, members and sandbox change while others tamper and operations fail, in any order."""

    @initialize()
    def begin(self):
        self.now, self.kernel, self.wanted, self.error = 0.0, Kernel(), "v0", None
        self.state = PodState(name=POD, incarnation=("uid", ()), monitored=True)
        self.announced = set()  # commits that the monitor has not passed on yet
        self.state.require_replacement(self.now)

    # --- events ----------------------------------------------------------------------------------------------------

    @rule(number=st.integers(1, 3))
    def the_policy_changes(self, number):
        self.wanted = f"v{number}"
        self.state.require_replacement(self.now)

    @rule(number=st.integers(1, 3))
    def members_change(self, number):
        base = self.wanted.partition("+")[0]
        self.wanted = f"{base}+{number}"
        self.state.members_changed(self.wanted, self.now)

    @rule()
    def others_tamper(self):
        self._commit("tampered")

    @rule()
    def the_sandbox_is_made_anew(self):
        self.kernel, self.announced = Kernel(), set()
        self.state.sandbox_gone()

    @rule()
    def links_change(self):
        self.state.noticed(Topic.LINKS, self.now)

    @rule()
    def the_listener_breaks(self):
        self.state.listener_lost(self.now)

    @rule(error=st.sampled_from([None, *PERMANENT, *TEMPORARY]))
    def operations_fail_from_now_on(self, error):
        self.error = error
        if error is None and self.state.retries.waits_for_input:
            self.state.require_replacement(self.now)  # the mistake in the input was corrected

    @precondition(lambda self: self.announced)
    @rule()
    def the_monitor_tells(self):
        self.state.noticed(Topic.RULES, self.now, frozenset(self.announced))
        self.announced = set()

    @rule(seconds=st.sampled_from([0.01, 0.3, 2.0, 60.0]))
    def time_passes(self, seconds):
        self.now += seconds

    @rule(meanwhile=st.sets(st.sampled_from(["tamper before", "tamper after", "announce"])))
    def the_next_operation(self, meanwhile):
        upcoming = self.state.next_operation(self.now)
        if isinstance(upcoming, Operation):
            self._run(upcoming, meanwhile)

    # --- invariants ------------------------------------------------------------------------------------------------

    @invariant()
    def nothing_permanent_is_repeated(self):
        if self.state.retries.waits_for_input:
            assert self.state.next_operation(math.inf) is None
            assert self.state.retries.failure in {Failure.INPUT, Failure.UNSUPPORTED, Failure.PLUGIN}

    @invariant()
    def what_is_isolated_stays_isolated(self):
        """S60: rules in force are only ever replaced by rules, even when operations fail."""
        assert self.kernel.rules or not self.state.sandbox_verified or self.state.stamp is None

    def teardown(self):
        """Without errors, and with all commits announced, the wanted rules come into force and stay."""
        if not hasattr(self, "state"):
            return
        self.operations_fail_from_now_on(None)
        for _ in range(60):
            if self.announced:
                self.the_monitor_tells()
            upcoming = self.state.next_operation(self.now)
            if isinstance(upcoming, Deadline):
                self.now = max(self.now, upcoming.at)
            elif upcoming is None:
                break
            else:
                self._run(upcoming, set())
        assert self.state.next_operation(math.inf) is None, "it comes to rest"
        assert self.kernel.rules == self.wanted
        assert (self.state.retries.error, self.state.drift_suspected) == ("", False)

    # --- the kernel, and operations in it: as `mnp_core.agent.operations` ------------------------------------------

    def _commit(self, rules):
        self.kernel = Kernel(rules=rules, generation=self.kernel.generation + 1)
        if self.state.rules_watched or self.state.attempt is not None:
            self.announced.add(self.kernel.generation)

    def _run(self, operation, meanwhile):
        attempt = self.state.start(operation, self.now)
        if "tamper before" in meanwhile and attempt.sandbox is not None:
            self._commit("tampered")
        error = self.error if operation in {Operation.LOCATE, Operation.REPLACE} else None
        if isinstance(error, SandboxNotFoundError) and operation is not Operation.LOCATE:
            error = None
        if error is not None:
            self.state.failed(error, self.now)
            return
        result = self._result(operation, attempt, tamper="tamper after" in meanwhile)
        if "announce" in meanwhile and self.announced:
            self.the_monitor_tells()
        change = self.state.completed(result, self.now)
        assert change is None or change.result in set(Result)

    def _result(self, operation, attempt, *, tamper):
        match operation:
            case Operation.LOCATE:
                return Located(sandbox=SANDBOX)
            case Operation.REPLACE:
                return self._replace(attempt, tamper=tamper)
            case Operation.FINALIZE | Operation.UPDATE_MEMBERS:
                return self._update(operation, attempt, tamper=tamper)
            case Operation.VERIFY:
                return Verified() if attempt.stamp.generation == self.kernel.generation else DriftSuspected()
            case Operation.INSPECT:
                return Inspected(findings=Findings(attachments=()))

    def _replace(self, attempt, *, tamper):
        before = attempt.stamp
        if before is None or before.generation != self.kernel.generation or before.digest == self.wanted:
            found = self._stamp()
            if self.kernel.rules == self.wanted:
                return evolve(replaced(written=False), stamp=evolve(found, digest=self.wanted))
        self._commit(self.wanted)
        if tamper:
            self._commit("tampered")
        return evolve(replaced(), stamp=self._stamp())

    def _update(self, operation, attempt, *, tamper):
        before = attempt.stamp or stamp(-1)
        disturbed, generations = before.generation != self.kernel.generation, set()
        for delta in attempt.deltas:
            if self.kernel.rules.partition("+")[0] != delta.partition("+")[0]:
                return DriftSuspected()
            self._commit(delta)
            if tamper:
                self._commit("tampered")
            generations.add(self.kernel.generation)
        if operation is Operation.FINALIZE:
            if attempt.deltas or disturbed:
                if self.kernel.rules != self.wanted:
                    return DriftSuspected()
                return Finalized(stamp=self._stamp(), updated=bool(attempt.deltas), generations=frozenset(generations))
            return Finalized(stamp=before)
        return MembersUpdated(stamp=before if disturbed else self._stamp(), generations=frozenset(generations))

    def _stamp(self):
        return Stamp(digest=self.wanted, generation=self.kernel.generation)


Life.TestCase.settings = settings(max_examples=100, stateful_step_count=25, deadline=None)
TestAnyLife = Life.TestCase
