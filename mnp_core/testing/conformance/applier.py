"""Standard tests of appliers: rulesets are brought into force and read back. Needs root."""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

import pytest
from attrs import evolve

from mnp_core.api import Sandbox
from mnp_core.errors import ApplyError, InputError
from mnp_core.model import Ruleset
from mnp_core.sandbox.netns import run_inside
from mnp_core.testing.conformance.base import leave_out
from mnp_core.testing.conformance.drift import DriftConformance
from mnp_core.testing.conformance.renderer import RendererConformance
from mnp_core.testing.conformance.rules import FULL, MEMBERS, SERVED
from mnp_core.testing.corpus import CORPUS, HOSTILE_INTERFACES, HOSTILE_TEXTS, named_by
from mnp_core.testing.lifecycle import STATES, State, lives
from mnp_core.testing.policies import DENY, GROUP, OTHER_GROUP, addresses, endpoints, only


class ApplierConformance(DriftConformance, standard=True):
    """For an `mnp_core.api.RuleApplier`, together with a renderer of its dialect; see `ApplierHooks`."""

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
    def test_applied_ruleset_is_installed(self, mnp_namespace: Sandbox, case: str) -> None:
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
    def test_installed_state_is_read_and_not_remembered(self, mnp_namespace: Sandbox) -> None:
        """S62: another process removed it, or it is another namespace that looks the same."""
        applier, ruleset = self.make_applier(), self.make_renderer().render(FULL)
        run_inside(mnp_namespace, lambda: applier.apply(ruleset))
        run_inside(mnp_namespace, self.make_applier().remove)
        assert run_inside(mnp_namespace, applier.installed) is None

    @pytest.mark.root
    @pytest.mark.parametrize("life", lives())
    def test_installed_state_depends_on_the_last_apply_alone(self, mnp_namespace: Sandbox, life: str) -> None:
        """S60, S62: by every way to it, without leftovers of older states."""
        before: State = None
        for state in self._possible(lives()[life]):
            self.become(mnp_namespace, before, state)
            found = run_inside(mnp_namespace, self.make_applier().installed)
            assert (found is None) is (state is None)
            assert state is None or self.matches(mnp_namespace, self.make_renderer().render(state))
            before = state

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
    def test_removing_nothing_is_no_error(self, mnp_namespace: Sandbox) -> None:
        """S62: before the first `apply`, and twice."""
        run_inside(mnp_namespace, self.make_applier().remove)
        self.enforce(mnp_namespace, FULL)
        for _ in range(2):
            run_inside(mnp_namespace, self.make_applier().remove)
            assert run_inside(mnp_namespace, self.make_applier().installed) is None

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

    def _refusals(self) -> Mapping[str, str]:
        """Of the renderer, if this class tests it too."""
        return self.refusals() if isinstance(self, RendererConformance) else {}

    def _possible(self, states: object) -> Iterator[State]:
        refused = [CORPUS[case].policy for case in self._refusals()]
        yield from (state for state in states if state not in refused)  # type: ignore[attr-defined] # of the table above
