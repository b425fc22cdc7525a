"""Standard tests of appliers: changes of the rules in force by others are detected and repaired (S63). Needs root."""

import select
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import islice

import pytest

from mnp_core.api import CommitAnnouncer, QuickGeneration, RuleWatcher, Sandbox, TwoPhaseApplier
from mnp_core.sandbox.netns import run_inside
from mnp_core.testing.conformance.base import leave_out
from mnp_core.testing.conformance.rules import FULL, MEMBERS, ApplierHooks
from mnp_core.testing.policies import DENY, GROUP, addresses, only


class DriftConformance(ApplierHooks, standard=True):
    """Drift: tampering, generations and their announcement."""

    @pytest.mark.root
    def test_tampering_is_seen_and_repaired(self, mnp_namespace: Sandbox) -> None:
        """S63: any change shows, and applying again repairs it."""
        ruleset = self.enforce(mnp_namespace, FULL)
        ways = run_inside(mnp_namespace, lambda: [description for description, _ in self.tampering()])
        assert ways, "there is no way to tamper: define `tampering`"
        for number, description in enumerate(ways):
            run_inside(mnp_namespace, lambda number=number: next(islice(self.tampering(), number, None))[1]())  # type: ignore[misc] # binds it now
            assert not self.matches(mnp_namespace, ruleset), f"not seen: {description}"
            self.enforce(mnp_namespace, FULL)
            assert self.matches(mnp_namespace, ruleset), f"not mended: {description}"

    @pytest.mark.root
    def test_the_generation_changes_when_something_changes(self, mnp_namespace: Sandbox) -> None:
        """S63: ours or others'."""
        steps: list[Callable[[], object]] = [
            lambda: self.enforce(mnp_namespace, FULL),
            lambda: self.regroup(mnp_namespace, MEMBERS, addresses(GROUP, "10.0.0.2")),
            lambda: run_inside(mnp_namespace, self.put_foreign_rules),
            lambda: self.enforce(mnp_namespace, only(ingress=DENY)),
            lambda: run_inside(mnp_namespace, self.make_applier().remove),
        ]
        for step in steps:
            before = self._generation(mnp_namespace)
            step()
            assert self._generation(mnp_namespace) != before

    @pytest.mark.root
    def test_a_quick_generation_stays_as_long_as_the_generation_does(self, mnp_namespace: Sandbox) -> None:
        """S63: it may change less often, never more often."""
        applier = self.make_applier()
        if not isinstance(applier, QuickGeneration):
            leave_out("it has no QuickGeneration: its generation is asked")

        def both() -> tuple[int, int]:
            return applier.generation(), applier.quick_generation()

        changes: list[Callable[[], object]] = [
            lambda: self.enforce(mnp_namespace, FULL),
            lambda: self.regroup(mnp_namespace, MEMBERS, addresses(GROUP, "10.0.0.2")),
            lambda: run_inside(mnp_namespace, self.make_applier().installed),
            lambda: run_inside(mnp_namespace, self.make_applier().remove),
        ]
        for change in changes:
            generation, quick = run_inside(mnp_namespace, both)
            change()
            later, quick_later = run_inside(mnp_namespace, both)
            assert quick == quick_later or generation != later

    @pytest.mark.root
    def test_looking_changes_nothing(self, mnp_namespace: Sandbox) -> None:
        """S62, S63: else every look would be taken for drift."""
        for state in (None, FULL):
            self.become(mnp_namespace, None, state)
            before, listed = self._generation(mnp_namespace), run_inside(mnp_namespace, self.everything)
            applier = self.make_applier()
            for look in (applier.probe, applier.installed, applier.counters, applier.generation):
                run_inside(mnp_namespace, look)
            assert self._generation(mnp_namespace) == before
            assert run_inside(mnp_namespace, self.everything) == listed

    @pytest.mark.root
    def test_two_phase_apply_is_atomic_for_packets(self, mnp_namespace: Sandbox) -> None:
        """S60, S62: the rest is for later processes alone, which write again if it was never done."""
        applier, ruleset = self.make_applier(), self.make_renderer().render(FULL)
        if not isinstance(applier, TwoPhaseApplier):
            leave_out("it is no TwoPhaseApplier: it does everything in one go")  # other checks hold `apply` to S60, S62
        run_inside(mnp_namespace, lambda: applier.apply(self.make_renderer().render(only(ingress=DENY))))
        rest = run_inside(mnp_namespace, lambda: applier.commit(ruleset))
        labels = self._labels(mnp_namespace)
        before, whole = self._generation(mnp_namespace), self.matches(mnp_namespace, ruleset)
        run_inside(mnp_namespace, rest)
        written = self._generation(mnp_namespace) != before
        assert not (whole and written), "it is said to be as it should be before the rest is done"
        assert self.matches(mnp_namespace, ruleset), "it is not as it should be when the rest is done"
        assert labels == self._labels(mnp_namespace) != [], "rules are among the rest"

    def _labels(self, where: Sandbox) -> list[str]:
        return sorted(counter.label for counter in run_inside(where, self.make_applier().counters))

    @pytest.mark.root
    def test_a_listener_hears_changes_of_the_generation(self, mnp_namespace: Sandbox) -> None:
        """S63: without a listener the agent polls every second."""
        applier = self.make_applier()
        if not isinstance(applier, RuleWatcher):
            leave_out("it is no RuleWatcher: its generation is asked every second")
        with run_inside(mnp_namespace, applier.watch) as listener:
            assert not _received(listener, within=0.1), "it hears something where nothing changes"
            self.enforce(mnp_namespace, FULL)
            applied = _received(listener)
            assert applied, "it does not hear what is applied"
            self._check_announced(mnp_namespace, applied)
            run_inside(mnp_namespace, self.put_foreign_rules)
            changed = _received(listener)
            assert changed, "it does not hear what others change"
            self._check_announced(mnp_namespace, changed)

    def _check_announced(self, where: Sandbox, messages: Sequence[bytes]) -> None:
        """The last commit is announced by the generation that is read after it, junk by none."""
        applier = self.make_applier()
        if isinstance(applier, CommitAnnouncer):
            announced = [applier.announced_generation(message) for message in messages]
            assert announced[-1] == self._generation(where), f"the last commit is announced as {announced[-1]}"
            assert len(set(announced)) == len(announced), "two commits are announced by one generation"
            junk = (b"", b"junk", bytes(len(messages[-1])))
            assert {*map(applier.announced_generation, junk)} == {None}, "junk is taken for a commit"

    def _generation(self, where: Sandbox) -> int:
        return run_inside(where, self.make_applier().generation)


def _received(listener: socket.socket, within: float = 5.0) -> list[bytes]:
    """All messages that have come by the time when the first one is there, within so many seconds."""
    ready, _, _ = select.select([listener], [], [], within)
    messages: list[bytes] = []
    with suppress(OSError):  # nothing more, or too much to keep
        while ready:
            messages.append(listener.recv(1 << 16))
    return messages
