"""Standard tests of appliers: they bring rulesets into force and read them back. Needs root."""

import select
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import islice
from typing import TypeVar

import pytest
from attrs import evolve

from mnp_core.api import (
    CommitAnnouncer,
    PolicyRenderer,
    QuickGeneration,
    RuleApplier,
    RuleVerifier,
    RuleWatcher,
    Sandbox,
    TwoPhaseApplier,
)
from mnp_core.errors import ApplyError, InputError
from mnp_core.model import Delta, Group, GroupDelta, Ruleset, SandboxPolicy
from mnp_core.sandbox.netns import run_inside
from mnp_core.testing import nft
from mnp_core.testing.conformance.base import Conformance, leave_out, missing_hook
from mnp_core.testing.conformance.renderer import RendererConformance
from mnp_core.testing.corpus import CORPUS, HOSTILE_INTERFACES, HOSTILE_TEXTS, named_by
from mnp_core.testing.lifecycle import STATES, State, lives, regrouping
from mnp_core.testing.policies import (
    DENY,
    GROUP,
    OTHER_GROUP,
    addresses,
    allow,
    allow_endpoints,
    endpoints,
    interface,
    isolated,
    only,
    sandbox,
)

T = TypeVar("T")

MEMBERS = addresses(GROUP, "10.0.0.2", "10.0.0.30", "fd00::2")
SERVED = endpoints(OTHER_GROUP, ("10.0.0.2", "SCTP", 80), ("fd00::2", "TCP", 65535))
FULL = sandbox(
    interface("net1", ingress=isolated(allow([GROUP, "10.0.0.0/8"], ["TCP/80", "UDP/5000-6000"])), egress=DENY),
    interface("net2", egress=isolated(allow_endpoints(OTHER_GROUP))),
    groups=[MEMBERS, SERVED],
)
"""Something of everything."""


class ApplierConformance(Conformance, standard=True):
    """For an `mnp_core.api.RuleApplier`, together with a renderer of its dialect.

    Each test has a network namespace of its own. Hooks about rules of others and about tampering run inside of it; by
    default they use the nft program, which lists everything in nf_tables.
    """

    def make_renderer(self) -> PolicyRenderer:
        """Make a renderer of the dialect, this plugin's or another's: define this."""
        raise missing_hook(self, "make_renderer")

    def make_applier(self) -> RuleApplier:
        """Make the applier: define this."""
        raise missing_hook(self, "make_applier")

    def everything(self) -> str:
        """List everything in the packet filter, in a form that is the same as long as nothing changes."""
        return nft.listing()

    def put_foreign_rules(self) -> None:
        """Add foreign rules, as near to the plugin's own as possible."""
        nft.load(nft.FOREIGN)

    def foreign_rules(self) -> str:
        """List the rules of `put_foreign_rules`."""
        return nft.foreign_listing()

    def tampering(self) -> Iterator[tuple[str, Callable[[], None]]]:
        """Ways to change the plugin's own rules, which are in force: each with a description.

        Each starts from rules in force anew. By default with the nft program: everything, each rule and each set.
        """
        for description, commands in nft.tampering():
            yield description, lambda commands=commands: nft.load(commands)  # type: ignore[misc] # binds it now

    def broken_rulesets(self, ruleset: Ruleset) -> Iterator[Ruleset]:
        """Rulesets that must be refused, made from a good one; by default its text with nonsense at the end."""
        yield evolve(ruleset, text=f"{ruleset.text}\n)(nonsense in no language;\n")

    # --- helpers --------------------------------------------------------------------------------------------------

    def enforce(self, where: Sandbox, policy: SandboxPolicy) -> Ruleset:
        """Bring a policy into force."""
        ruleset = self.make_renderer().render(policy)
        run_inside(where, lambda: self.make_applier().apply(ruleset))
        return ruleset

    def regroup(self, where: Sandbox, before: Group, after: Group) -> Delta:
        """Change the membership of a group."""
        delta = self.make_renderer().render_delta(GroupDelta(before=before, after=after))
        run_inside(where, lambda: self.make_applier().update(delta))
        return delta

    def matches(self, where: Sandbox, ruleset: Ruleset) -> bool:
        """Whether exactly this is in force, as another applier sees it."""
        applier = self.make_applier()
        if isinstance(applier, RuleVerifier):
            return run_inside(where, lambda: applier.is_in_force(ruleset))
        found = run_inside(where, applier.installed)
        return found is not None and found.matches(ruleset)

    def become(self, where: Sandbox, before: State, after: State) -> None:
        """Go from one state to the next, as the agent does: by membership alone where that is all."""
        deltas = regrouping(before, after)
        if after is None:
            run_inside(where, self.make_applier().remove)
        elif deltas is None:
            self.enforce(where, after)
        else:
            for delta in deltas:
                self.regroup(where, delta.before, delta.after)

    # --- probe ----------------------------------------------------------------------------------------------------

    @pytest.mark.root
    def test_it_works_on_this_kernel(self, mnp_namespace: Sandbox) -> None:
        """A precondition of the other tests: the detail names the missing feature."""
        support = run_inside(mnp_namespace, self.make_applier().probe)
        assert support.usable, support.detail

    # --- apply and installed --------------------------------------------------------------------------------------

    @pytest.mark.root
    def test_nothing_is_installed_in_a_fresh_namespace(self, mnp_namespace: Sandbox) -> None:
        """S62."""
        assert run_inside(mnp_namespace, self.make_applier().installed) is None

    @pytest.mark.root
    @pytest.mark.parametrize("case", CORPUS)
    def test_what_was_applied_is_installed(self, mnp_namespace: Sandbox, case: str) -> None:
        """S62: and another applier, as another process has, finds it."""
        ruleset = self._case(case)
        run_inside(mnp_namespace, lambda: self.make_applier().apply(ruleset))
        assert self.matches(mnp_namespace, ruleset)

    def _case(self, case: str) -> Ruleset:
        refused = self._refusals()
        if case in refused:
            leave_out(f"refused: {refused[case]}")  # the renderer's checks make sure of it
        return self.make_renderer().render(CORPUS[case].policy)

    @pytest.mark.root
    def test_applying_twice_changes_nothing(self, mnp_namespace: Sandbox) -> None:
        """S62."""
        ruleset = self.enforce(mnp_namespace, FULL)
        before = run_inside(mnp_namespace, self.make_applier().installed)
        self.enforce(mnp_namespace, FULL)
        assert run_inside(mnp_namespace, self.make_applier().installed) == before
        assert self.matches(mnp_namespace, ruleset)

    @pytest.mark.root
    def test_what_is_installed_is_read_and_not_remembered(self, mnp_namespace: Sandbox) -> None:
        """S62: another process removed it, or it is another namespace that looks the same."""
        applier, ruleset = self.make_applier(), self.make_renderer().render(FULL)
        run_inside(mnp_namespace, lambda: applier.apply(ruleset))
        run_inside(mnp_namespace, self.make_applier().remove)
        assert run_inside(mnp_namespace, applier.installed) is None

    @pytest.mark.root
    @pytest.mark.parametrize("life", lives())
    def test_what_is_installed_depends_on_the_last_state_alone(self, mnp_namespace: Sandbox, life: str) -> None:
        """S60, S62: by every way to it, without leftovers of older states."""
        before: State = None
        for state in self._possible(lives()[life]):
            self.become(mnp_namespace, before, state)
            found = run_inside(mnp_namespace, self.make_applier().installed)
            assert (found is None) is (state is None)
            assert state is None or self.matches(mnp_namespace, self.make_renderer().render(state))
            before = state

    def _refusals(self) -> Mapping[str, str]:
        """Of the renderer, if this class tests it too."""
        return self.refusals() if isinstance(self, RendererConformance) else {}

    def _possible(self, states: object) -> Iterator[State]:
        refused = [CORPUS[case].policy for case in self._refusals()]
        yield from (state for state in states if state not in refused)  # type: ignore[attr-defined] # of the table above

    # --- refusals -------------------------------------------------------------------------------------------------

    @pytest.mark.root
    def test_a_refused_ruleset_changes_nothing(self, mnp_namespace: Sandbox) -> None:
        """S60."""
        run_inside(mnp_namespace, self.put_foreign_rules)
        ruleset = self.enforce(mnp_namespace, FULL)
        before = run_inside(mnp_namespace, self.everything)
        for broken in self.broken_rulesets(self.make_renderer().render(only(ingress=DENY))):
            with pytest.raises(ApplyError):
                run_inside(mnp_namespace, lambda broken=broken: self.make_applier().apply(broken))  # type: ignore[misc] # binds it now
            assert run_inside(mnp_namespace, self.everything) == before
            assert self.matches(mnp_namespace, ruleset)

    @pytest.mark.root
    def test_a_change_of_a_group_that_is_not_there_is_refused(self, mnp_namespace: Sandbox) -> None:
        """S60: the rules in force are not the expected ones, so they stay as they are; with and without rules there."""
        empty, filled = addresses("c" * 20), addresses("c" * 20, "10.0.0.2")
        with pytest.raises(ApplyError):
            self.regroup(mnp_namespace, empty, filled)
        ruleset = self.enforce(mnp_namespace, FULL)
        with pytest.raises(ApplyError):
            self.regroup(mnp_namespace, empty, filled)
        assert self.matches(mnp_namespace, ruleset)

    # --- membership -----------------------------------------------------------------------------------------------

    @pytest.mark.root
    def test_an_update_changes_membership_and_nothing_else(self, mnp_namespace: Sandbox) -> None:
        """S60: the result is that of a fresh rendering."""
        self.enforce(mnp_namespace, FULL)
        grown, none = addresses(GROUP, "10.0.0.2", "10.7.7.7", "fd00::7", "::1.2.3.4"), endpoints(OTHER_GROUP)
        before = FULL
        for groups in ((grown, SERVED), (grown, none), (MEMBERS, none), (MEMBERS, SERVED)):
            after = evolve(FULL, groups={group.id: group for group in groups})
            self.become(mnp_namespace, before, after)
            assert self.matches(mnp_namespace, self.make_renderer().render(after))
            before = after

    # --- others ---------------------------------------------------------------------------------------------------

    @pytest.mark.root
    def test_rules_of_others_survive(self, mnp_namespace: Sandbox) -> None:
        """S49: through apply, update and remove."""
        run_inside(mnp_namespace, self.put_foreign_rules)
        theirs = run_inside(mnp_namespace, self.foreign_rules)
        before: State = None
        for state in self._possible([*STATES[:3], None, *STATES[3:], None]):
            self.become(mnp_namespace, before, state)
            assert run_inside(mnp_namespace, self.foreign_rules) == theirs
            before = state

    @pytest.mark.root
    def test_remove_takes_ours_and_nothing_else(self, mnp_namespace: Sandbox) -> None:
        """S62: everything is as it was before."""
        run_inside(mnp_namespace, self.put_foreign_rules)
        before = run_inside(mnp_namespace, self.everything)
        self.enforce(mnp_namespace, FULL)
        run_inside(mnp_namespace, self.make_applier().remove)
        assert run_inside(mnp_namespace, self.everything) == before

    @pytest.mark.root
    def test_removing_what_is_not_there_is_no_error(self, mnp_namespace: Sandbox) -> None:
        """S62: before the first `apply`, and twice."""
        run_inside(mnp_namespace, self.make_applier().remove)
        self.enforce(mnp_namespace, FULL)
        for _ in range(2):
            run_inside(mnp_namespace, self.make_applier().remove)
            assert run_inside(mnp_namespace, self.make_applier().installed) is None

    # --- drift ----------------------------------------------------------------------------------------------------

    @pytest.mark.root
    def test_tampering_is_seen_and_mended(self, mnp_namespace: Sandbox) -> None:
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
    def test_what_is_brought_into_force_in_stages_is_whole_for_packets_at_once(self, mnp_namespace: Sandbox) -> None:
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
    def test_a_listener_hears_what_changes_the_generation(self, mnp_namespace: Sandbox) -> None:
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

    # --- many -----------------------------------------------------------------------------------------------------

    @pytest.mark.root
    def test_namespaces_are_apart_and_can_be_written_at_once(self, mnp_namespaces: Callable[[], Sandbox]) -> None:
        """One applier serves all threads, each in another sandbox."""
        applier, renderer = self.make_applier(), self.make_renderer()
        some = [FULL, only(ingress=DENY), only(egress=DENY), evolve(FULL, interfaces=FULL.interfaces[:1])]
        work = [(mnp_namespaces(), renderer.render(policy)) for policy in some for _ in range(2)]

        def apply(where: Sandbox, ruleset: Ruleset) -> None:
            for _ in range(5):
                run_inside(where, lambda: applier.apply(ruleset))

        with ThreadPoolExecutor(max_workers=len(work)) as threads:
            for done in [threads.submit(apply, *each) for each in work]:
                done.result()
        assert [self.matches(*each) for each in work] == [True] * len(work)

    @pytest.mark.root
    def test_hostile_names_stay_in_their_place(self, mnp_namespace: Sandbox) -> None:
        """S6: user input is a command neither to the kernel nor to a program on the way to it."""
        run_inside(mnp_namespace, self.put_foreign_rules)
        before, renderer = run_inside(mnp_namespace, self.everything), self.make_renderer()
        theirs = run_inside(mnp_namespace, self.foreign_rules)
        policies = [named_by(text) for text in HOSTILE_TEXTS]
        policies += [named_by("benign", interface_name=name) for name in HOSTILE_INTERFACES]
        for policy in policies:
            try:
                ruleset = renderer.render(policy)
            except InputError:
                continue
            run_inside(mnp_namespace, lambda ruleset=ruleset: self.make_applier().apply(ruleset))  # type: ignore[misc] # binds it now
            assert run_inside(mnp_namespace, self.foreign_rules) == theirs
            assert self.matches(mnp_namespace, ruleset)
        run_inside(mnp_namespace, self.make_applier().remove)
        assert run_inside(mnp_namespace, self.everything) == before


def _received(listener: socket.socket, within: float = 5.0) -> list[bytes]:
    """All messages that have come by the time when the first one is there, within so many seconds."""
    ready, _, _ = select.select([listener], [], [], within)
    messages: list[bytes] = []
    with suppress(OSError):  # nothing more, or too much to keep
        while ready:
            messages.append(listener.recv(1 << 16))
    return messages
