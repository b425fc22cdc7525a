"""Operations in one sandbox: planned on the agent's thread from the cluster state of that moment, run inside of it.

Where the rules in force are known, the difference is tried first, which needs no thread inside of the sandbox.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Protocol, cast

from attrs import evolve

from mnp_core.ability import has_ability
from mnp_core.agent.pod_state import PodState
from mnp_core.agent.results import (
    Absent,
    Attempt,
    DriftSuspected,
    Finalization,
    Finalized,
    Inspected,
    MembersUpdated,
    Operation,
    OperationResult,
    Replaced,
    Stamp,
    Verified,
)
from mnp_core.agent.ruleset_cache import RulesetCache, rendered_deltas
from mnp_core.api import (
    CommitAnnouncer,
    ConnectionTracker,
    DifferenceApplier,
    InterfaceDiscoverer,
    QuickGeneration,
    RuleApplier,
    Sandbox,
    TwoPhaseApplier,
)
from mnp_core.backend import Backend
from mnp_core.classes import frozen
from mnp_core.cluster import ClusterState
from mnp_core.errors import ApplyError, SandboxError
from mnp_core.inspection import Claimed, Findings, inspect
from mnp_core.model import Attachment, Delta, KnownRules, Link, LinkPath, ObjectName, Ruleset
from mnp_core.sandbox.listeners import close_listeners, open_listeners
from mnp_core.sandbox.rules import installed_paths, is_in_force, remove_rules

_UNKNOWN = Stamp(digest="", generation=-1)  # no generation is negative


@frozen
class Plan:
    """The ways of one attempt.

    Attributes:
        inside: Runs in the sandbox.
        outside: Runs anywhere, and first: None from it means that nothing was done. None if there is no such way.
    """

    inside: Callable[[], OperationResult]
    outside: Callable[[], OperationResult | None] | None = None


class BackendChoice(Protocol):
    """The methods of `mnp_core.backend.Backends` used by the agent."""

    def of(self, attachments: Iterable[Attachment], /) -> Backend:
        """The backend of one sandbox."""

    def obstacle(self, attachments: Iterable[Attachment], path: LinkPath, /) -> str:
        """Why no backend enforces on interfaces of a path in a sandbox; empty if one does."""

    def others(self, chosen: Backend, /) -> Iterable[Backend]:
        """Backends that may have been in force in a sandbox before."""


@frozen(kw_only=True)
class Planner:
    """Turns an attempt into a callable for the sandbox.

    Attributes:
        cluster: The source of the wanted policy.
        backends: Chooses the backend of a pod.
        discoverers: By the CNI type that they claim.
        read_links: Reads the interfaces of the sandbox that it is called in.
        monitored: Whether changes in sandboxes are listened to.
        rulesets: Rulesets that pods share.
        is_fresh: Whether a gate holds a pod before its first container.
        forget_connections: Forgets the connections that the kernel tracks in the sandbox that it is called in.
    """

    cluster: ClusterState
    backends: BackendChoice
    discoverers: Mapping[str, InterfaceDiscoverer]
    read_links: Callable[[], Sequence[Link]]
    monitored: bool
    rulesets: RulesetCache
    is_fresh: Callable[[ObjectName], bool]
    forget_connections: Callable[[], None]

    def plan(self, state: PodState, attempt: Attempt) -> Plan:
        """The ways of an attempt; raises all errors of plugins."""
        backend = self.backend(state)
        match attempt.operation:
            case Operation.REPLACE:
                return self._replace(state, attempt, backend)
            case Operation.FINALIZE:
                return Plan(self._finalize(state, attempt, backend))
            case Operation.UPDATE_MEMBERS:
                return self._update_members(state, attempt, backend)
            case Operation.VERIFY:
                stamp = attempt.stamp or _UNKNOWN
                return Plan(partial(check_generation, backend.applier, stamp, thorough=attempt.thorough))
            case _:
                inspection = self._inspection(state)
                return Plan(lambda: Inspected(findings=inspection()))

    def backend(self, state: PodState) -> Backend:
        """By its attachments; a pod that has lost them keeps the backend that it had."""
        claims = self.cluster.claims(state.name)
        if claims or state.backend is None:
            chosen = self.backends.of(claims)
            state.use_backend(chosen)
            return chosen
        return state.backend

    def _update_members(self, state: PodState, attempt: Attempt, backend: Backend) -> Plan:
        applier, before = backend.applier, attempt.stamp or _UNKNOWN
        rendered = rendered_deltas(backend, attempt.deltas, self.cluster.sandbox_policy(state.name))
        deltas = [delta for delta in rendered if any(delta.added.values()) or any(delta.removed.values())]
        inside = partial(update_members, applier, deltas, before)
        differing = writer_of_differences(applier)
        if differing is None or attempt.sandbox is None or before.known is None or not deltas:
            return Plan(inside)
        return Plan(inside, partial(commit_members, differing, attempt.sandbox, deltas, before, before.known))

    def _replace(self, state: PodState, attempt: Attempt, backend: Backend) -> Plan:
        policy, before = self.cluster.sandbox_policy(state.name), state.stamp  # that of another backend is void
        others = () if before is not None else tuple(other.applier for other in self.backends.others(backend))
        if policy is None:
            inspection = self._inspection(state)  # an interface that leads out of the pod is reported (S64)
            appliers = (backend.applier, *others)
            return Plan(lambda: Absent(removed=remove_rules(appliers), findings=inspection()))
        ruleset = self.rulesets.of(backend, policy)
        seen = frozenset(interface.path for interface in policy.interfaces)
        look = self._inspection(state) if state.findings is None else None
        opens_listeners = self.monitored and before is None
        is_fresh = before is None and self.is_fresh(state.name)

        def run() -> Replaced | Inspected:
            if look is not None and not installed_paths((backend.applier, *others)) <= seen:
                return look_first(look)
            listeners = open_listeners(backend.applier) if opens_listeners else None  # first, to miss no change
            try:
                replaced = replace(backend.applier, ruleset.get(), before, drift_suspected=attempt.drift_suspected)
                remove_rules(others)  # both are in force until then
                if is_fresh:
                    self._forget_connections(backend.applier)
            except BaseException:
                close_listeners(listeners)
                raise
            announced = isinstance(backend.applier, CommitAnnouncer)
            return evolve(replaced, listeners=listeners, commits_announced=announced)

        differing = writer_of_differences(backend.applier)
        if differing is None or attempt.sandbox is None or look is not None:
            return Plan(run)
        if before is None or before.known is None or not before.complete:
            return Plan(run)
        return Plan(run, partial(commit_difference, differing, attempt.sandbox, ruleset.get, before, before.known))

    def _forget_connections(self, applier: RuleApplier) -> None:
        """Tracking begins while the first rules are prepared: a packet of that moment would count as established."""
        self.forget_connections()
        if isinstance(applier, ConnectionTracker):
            applier.forget_connections()

    def _finalize(self, state: PodState, attempt: Attempt, backend: Backend) -> Callable[[], OperationResult]:
        finalization, policy = attempt.finalization, self.cluster.sandbox_policy(state.name)
        if finalization is None or policy is None:
            return Verified  # the replacement that follows removes it
        deltas = rendered_deltas(backend, attempt.deltas, policy)
        wanted = self.rulesets.of(backend, policy).get if deltas else lambda: finalization.ruleset
        before = attempt.stamp if attempt.commits_announced else None
        return partial(finalize, backend.applier, finalization, deltas, wanted, before)

    def _inspection(self, state: PodState) -> Callable[[], Findings]:
        claimed = self._claimed(state)
        obstacle = partial(self.backends.obstacle, claimed.attachments)
        return partial(inspect, claimed, self.read_links, self.discoverers, obstacle)

    def _claimed(self, state: PodState) -> Claimed:
        pod, claims = self.cluster.pod(state.name), self.cluster.claims(state.name)
        denies = self.cluster.denies_unclaimed
        if pod is None:
            return Claimed(pod=state.name, attachments=claims, denies_unclaimed=denies)
        return Claimed(
            pod=pod.name,
            attachments=claims,
            defaults=pod.default_interfaces,
            announced=frozenset(status.interface for status in pod.statuses),
            denies_unclaimed=denies,
        )


# --- anywhere -----------------------------------------------------------------------------------------------------


def writer_of_differences(applier: RuleApplier) -> DifferenceApplier | None:
    """The applier if it writes differences."""
    return cast("DifferenceApplier", applier) if has_ability(type(applier), DifferenceApplier) else None


def commit_difference(
    applier: DifferenceApplier, sandbox: Sandbox, wanted: Callable[[], Ruleset], before: Stamp, known: KnownRules
) -> Replaced | None:
    """Write what differs if the filter is still in the generation of the stamp; then nothing is left to finalize."""
    ruleset = wanted()
    if before.digest == ruleset.digest:
        return None
    generation = applier.commit_difference(sandbox, known, ruleset, before.generation)
    if generation is None:
        return None
    stamp = Stamp(digest=ruleset.digest, generation=generation, known=_known(ruleset), complete=True)
    return Replaced(stamp=stamp, written=True)


def commit_members(
    applier: DifferenceApplier, sandbox: Sandbox, deltas: Sequence[Delta], before: Stamp, known: KnownRules
) -> MembersUpdated | None:
    """Change membership in one commit if the filter is still in the generation of the stamp."""
    generation = applier.commit_members(sandbox, known, deltas, before.generation)
    if generation is None:
        return None
    stamp = Stamp(digest=before.digest, generation=generation, known=known.after(deltas), complete=before.complete)
    return MembersUpdated(stamp=stamp)


# --- inside the sandbox -------------------------------------------------------------------------------------------


def replace(applier: RuleApplier, ruleset: Ruleset, before: Stamp | None, *, drift_suspected: bool = False) -> Replaced:
    """Put the ruleset in force; no write to a sandbox that has it already (S62).

    The present rules are read, unless known to differ.

    Args:
        applier: Writes it.
        ruleset: The wanted ruleset.
        before: The stamp of the present rules, as far as known to this process; None if unknown.
        drift_suspected: Whether drift is suspected: then the result distinguishes drift from incomplete rules.
    """
    was_incomplete = False
    if before is None or before.digest == ruleset.digest or _is_changed(applier, before):
        stamp = _stamp(applier, ruleset)  # first: a commit of others during the read must not pass for read
        if is_in_force(applier, ruleset):
            return Replaced(stamp=evolve(stamp, complete=True), written=False)
        was_incomplete = drift_suspected and _is_incomplete(applier, ruleset)
    if isinstance(applier, TwoPhaseApplier):
        finalization = Finalization(ruleset=ruleset, run=applier.commit(ruleset))
    else:
        applier.apply(ruleset)
        finalization = Finalization(ruleset=ruleset)
    stamp = _stamp(applier, ruleset)
    return Replaced(stamp=stamp, written=True, was_incomplete=was_incomplete, finalization=finalization)


def finalize(
    applier: RuleApplier,
    finalization: Finalization,
    deltas: Sequence[Delta],
    wanted: Callable[[], Ruleset],
    before: Stamp | None = None,
) -> Finalized | DriftSuspected:
    """Complete a replacement, and compare the present rules with the wanted ones.

    A foreign commit right after ours, or during our cleanup, looks like ours by its number. It is found here (S63).

    Args:
        applier: Writes it.
        finalization: The deferred part of the replacement.
        deltas: Changes of membership since then.
        wanted: Returns the ruleset wanted after that.
        before: The stamp of the replacement if commits are announced: unchanged, it makes the comparison superfluous.
    """
    finalization.run()
    if before is not None and not deltas and not _is_changed(applier, before, thorough=True):
        return Finalized(stamp=evolve(before, complete=True))
    generations = _generations(applier)
    try:
        for delta in deltas:
            _update(applier, delta)
            generations |= _generations(applier)
    except ApplyError:
        return DriftSuspected()
    ruleset = wanted()
    stamp = _stamp(applier, ruleset)  # first, as in `replace`
    if not is_in_force(applier, ruleset):
        return DriftSuspected()
    return Finalized(stamp=evolve(stamp, complete=True), updated=bool(deltas), generations=generations)


def update_members(applier: RuleApplier, deltas: Sequence[Delta], before: Stamp) -> MembersUpdated | DriftSuspected:
    """Change membership alone.

    After a foreign change since `before`, the stamp stays the same, so that the next check finds it (S63). A refused
    delta was made for other sets than the present ones.
    """
    disturbed, generations = _is_changed(applier, before), frozenset[int]()
    try:
        for delta in deltas:
            disturbed = not _update(applier, delta) or disturbed
            generations |= _generations(applier)  # never before our first commit: that number may be foreign
    except ApplyError:
        return DriftSuspected()
    if disturbed or not deltas:
        return MembersUpdated(stamp=before)
    stamp = _read_stamp(applier, before.digest)
    known = before.known.after(deltas) if before.known is not None else None
    return MembersUpdated(stamp=evolve(stamp, known=known, complete=before.complete), generations=generations)


def check_generation(applier: RuleApplier, before: Stamp, *, thorough: bool = True) -> Verified | DriftSuspected:
    """Check that the rules are unchanged since the stamp."""
    return DriftSuspected() if _is_changed(applier, before, thorough=thorough) else Verified()


def look_first(look: Callable[[], Findings]) -> Inspected:
    """Look at a sandbox with rules for paths that this process does not know yet, instead of taking them away (S62).

    Raises:
        SandboxError: It cannot be looked at.
    """
    findings = look()
    if not findings.readable:
        raise SandboxError("its interfaces cannot be read, and there are rules for more than its IP layer")
    return Inspected(findings=findings, comes_first=True)


def _is_incomplete(applier: RuleApplier, ruleset: Ruleset) -> bool:
    """Whether the ruleset is present, but not yet effective on every interface."""
    installed = applier.installed()
    return installed is not None and installed.incomplete and installed.is_of(ruleset)


def _stamp(applier: RuleApplier, ruleset: Ruleset) -> Stamp:
    return evolve(_read_stamp(applier, ruleset.digest), known=_known(ruleset))


def _known(ruleset: Ruleset) -> KnownRules | None:
    return None if ruleset.structure is None else KnownRules(structure=ruleset.structure, sets=ruleset.sets)


def _read_stamp(applier: RuleApplier, digest: str) -> Stamp:
    quick = applier.quick_generation() if isinstance(applier, QuickGeneration) else None  # first: it covers less
    return Stamp(digest=digest, generation=applier.generation(), quick=quick)


def _generations(applier: RuleApplier) -> frozenset[int]:
    """The generation, if announcements carry it; the stamp has only that of an operation's last commit.

    A foreign commit between ours and this read is taken for ours, and ours is announced as foreign: found, too.
    """
    return frozenset({applier.generation()}) if isinstance(applier, CommitAnnouncer) else frozenset()


def _is_changed(applier: RuleApplier, before: Stamp, *, thorough: bool = False) -> bool:
    """Whether the rules have changed since, by the cheaper query where there is one and it is enough."""
    if isinstance(applier, QuickGeneration) and before.quick is not None and not thorough:
        return applier.quick_generation() != before.quick
    return applier.generation() != before.generation


def _update(applier: RuleApplier, delta: Delta) -> bool:
    """Change membership; false if the applier has detected a concurrent foreign change."""
    return applier.update(delta) is not False  # None: it cannot detect any
