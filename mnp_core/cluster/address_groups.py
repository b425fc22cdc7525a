"""Address groups in use by sandboxes of this node, kept up to date pod by pod.

A group without users is not tracked: policies that concern other nodes alone cost this node nothing. New labels of a
namespace concern all of its pods: these are moved in slices.
"""

from collections import Counter, deque
from collections.abc import Container, Iterable, Iterator, Mapping
from itertools import accumulate, islice, starmap

from mnp_core.cluster.affected import GroupChange
from mnp_core.cluster.group_members import GroupMembers
from mnp_core.cluster.multimap import Multimap
from mnp_core.cluster.pods import PodIndex
from mnp_core.cluster.selector_index import SelectorIndex
from mnp_core.cluster.tracked_group import TrackedGroup
from mnp_core.model import EVERYTHING, Group, GroupSpec, ObjectName, PodPeer, Report, Selector
from mnp_core.policy.compile import CompiledPolicy
from mnp_core.policy.validate import unaddressed_selectors

Labels = Mapping[str, str]

_SAMPLE_PODS = 32
_ESTIMATE_TOLERANCE = 1.5  # a group whose estimated size exceeds its limit by this factor is refused unseen


class AddressGroups:
    """The groups in use."""

    def __init__(self, pods: PodIndex) -> None:
        """Start without groups; members are looked up among `pods`."""
        self._pods = pods
        self._members = GroupMembers(pods)
        self._groups: dict[str, TrackedGroup] = {}
        self._dirty: set[str] = set()
        self._used: dict[ObjectName, set[str]] = {}
        self._groups_by_pod: Multimap[ObjectName, str] = Multimap()
        self._index: SelectorIndex[str] = SelectorIndex()
        self._members_by_namespace: Counter[str] = Counter()  # by the namespaces of the groups' users
        self._stale_reports: set[ObjectName] = set()
        self._relabelled: deque[tuple[str, str]] = deque()  # namespace, and a group that its labels concern
        self._shares: Iterator[tuple[TrackedGroup, ObjectName]] | None = None  # of these, still to be determined

    # --- users --------------------------------------------------------------------------------------------------

    def are_too_many(self, specs: Iterable[tuple[str, GroupSpec]], limit: int) -> bool:
        """Whether groups, by identity, certainly have more members together than a limit, by an estimate."""
        total = accumulate(starmap(self._estimate, specs))
        return any(number > _ESTIMATE_TOLERANCE * limit for number in total)

    def try_use(self, user: ObjectName, specs: Mapping[str, GroupSpec], limit: int, namespace_limit: int) -> bool:
        """Add the groups of one policy to those in use by a sandbox, until `release`.

        Args:
            user: The sandbox.
            specs: The groups; not `are_too_many`, or it takes long to find out.
            limit: Maximum number of members of these groups together.
            namespace_limit: Maximum number of members of all groups in use in the sandbox's namespace.

        Returns:
            False, without effect, if a limit is exceeded.
        """
        used, added, total = self._used.setdefault(user, set()), set[str](), 0
        for identity, spec in specs.items():
            if identity not in used:
                self._begin_use(user, identity, spec)
                used.add(identity)
                added.add(identity)
            total += len(self._groups[identity].counts)
            if total > limit or self._members_by_namespace[user.namespace] > namespace_limit:
                self.release(user, added)
                return False
        return True

    def keep(self, user: ObjectName, identities: Container[str]) -> None:
        """Release all groups of a sandbox but these."""
        self.release(user, [identity for identity in self._used.get(user, ()) if identity not in identities])

    def release(self, user: ObjectName, identities: Iterable[str]) -> None:
        """Remove groups from those in use by a sandbox; groups without users are dropped."""
        used = self._used.get(user, set())
        for identity in identities:
            used.discard(identity)
            self._end_use(user, identity)
        if not used:
            self._used.pop(user, None)

    def _begin_use(self, user: ObjectName, identity: str, spec: GroupSpec) -> None:
        tracked = self._groups.get(identity) or self._track(identity, spec)
        tracked.users.add(user)
        tracked.user_namespaces[user.namespace] += 1
        if tracked.user_namespaces[user.namespace] == 1:
            self._members_by_namespace[user.namespace] += len(tracked.group.members)

    def _end_use(self, user: ObjectName, identity: str) -> None:
        tracked = self._groups[identity]
        tracked.users.discard(user)
        tracked.user_namespaces[user.namespace] -= 1
        if not tracked.user_namespaces[user.namespace]:
            del tracked.user_namespaces[user.namespace]
            self._members_by_namespace[user.namespace] -= len(tracked.group.members)
        if not tracked.users:
            self._untrack(identity, tracked)

    def _track(self, identity: str, spec: GroupSpec) -> TrackedGroup:
        tracked = self._groups[identity] = TrackedGroup.empty(identity, spec)
        self._index.add(identity, *_filed_under(spec))
        for pod in self._pods.candidates(spec):
            self._set_members(tracked, pod)
        tracked.flush()
        tracked.flush_missing()
        self._dirty.discard(identity)
        return tracked

    def _untrack(self, identity: str, tracked: TrackedGroup) -> None:
        del self._groups[identity]
        self._dirty.discard(identity)
        self._index.discard(identity, *_filed_under(tracked.spec))
        for pod in tracked.pods:
            self._groups_by_pod.discard(pod, identity)

    def _estimate(self, identity: str, spec: GroupSpec) -> int:
        """The size of a group in use, or an estimate by a sample of the pods that could be in it."""
        tracked = self._groups.get(identity)
        if tracked is not None:
            return len(tracked.counts)
        candidates = self._pods.candidates(spec)
        number = len(candidates)
        sample = tuple(islice(candidates, None, None, max(1, number // _SAMPLE_PODS)))
        return sum(len(self._members.of(pod, spec)) for pod in sample) * number // max(1, len(sample))

    # --- members ------------------------------------------------------------------------------------------------

    def relabel(self, namespace: str, before: Labels | None, after: Labels | None) -> None:
        """Have the pods of a namespace join and leave groups after a change of its labels; see `resume`.

        Args:
            namespace: Its name.
            before: Its old labels; None if it was unknown.
            after: Its new labels; None if it is gone.
        """
        concerned = dict[Selector | None, bool]()
        for identity, tracked in self._groups.items():
            peer = tracked.spec.peer
            if isinstance(peer, PodPeer) and peer.namespace is None:
                selector = peer.namespace_selector
                if selector not in concerned:
                    concerned[selector] = _matches(selector, before) != _matches(selector, after)
                if concerned[selector]:
                    self._relabelled.append((namespace, identity))

    def resume(self, most: int) -> None:
        """Move so many pods of relabelled namespaces."""
        if self._shares is None:
            self._shares = self._next_shares()
        moved = 0
        for tracked, pod in islice(self._shares, most):
            self._set_members(tracked, pod)
            moved += 1
        if moved < most:
            self._shares = None

    @property
    def unfinished(self) -> bool:
        """Whether `resume` has pods to move."""
        return bool(self._relabelled) or self._shares is not None

    def _next_shares(self) -> Iterator[tuple[TrackedGroup, ObjectName]]:
        """Pods and groups, from the present state: another change may have come between two slices."""
        while self._relabelled:
            namespace, identity = self._relabelled.popleft()
            tracked = self._groups.get(identity)
            peer = tracked.spec.peer if tracked is not None else None
            if tracked is None or not isinstance(peer, PodPeer):
                continue
            for pod in self._pods.selected(namespace, peer.pod_selector):
                if self._groups.get(identity) is not tracked:
                    break
                yield tracked, pod

    def refresh(self, pod: ObjectName) -> None:
        """Recompute the share of a pod in every group after a change of the pod."""
        self._members.forget(pod)
        affected = set(self._groups_by_pod[pod])
        indexed = self._pods.get(pod)
        if indexed is not None:
            affected.update(self._index.candidates(pod.namespace, indexed.pod.labels))
        for identity in affected:
            self._set_members(self._groups[identity], pod)

    def flush(self) -> Iterator[GroupChange]:
        """All differences since the last call, each with the sandboxes that use the group."""
        dirty, self._dirty = self._dirty, set()
        for identity in sorted(dirty):
            tracked = self._groups[identity]
            delta = tracked.flush()
            if tracked.flush_missing():
                self._stale_reports.update(tracked.users)
            if delta is not None:
                growth = len(delta.after.members) - len(delta.before.members)
                for namespace in tracked.user_namespaces:
                    self._members_by_namespace[namespace] += growth
                yield delta, frozenset(tracked.users)

    def _set_members(self, tracked: TrackedGroup, pod: ObjectName) -> None:
        identity, members = tracked.group.id, self._members.of(pod, tracked.spec)
        missing_on = None if members else self._members.missing_on(pod, tracked.spec)
        if tracked.set_members(pod, members, missing_on):
            self._dirty.add(identity)
        if members or missing_on is not None:
            self._groups_by_pod.add(pod, identity)
        else:
            self._groups_by_pod.discard(pod, identity)

    # --- reading ------------------------------------------------------------------------------------------------

    def snapshot(self, user: ObjectName) -> dict[str, Group]:
        """The groups in use by a sandbox, as they are now."""
        return {identity: self._groups[identity].group for identity in self._used.get(user, ())}

    def sizes_of(self, user: ObjectName) -> dict[str, int]:
        """The number of members of each group in use by a sandbox."""
        return {identity: len(self._groups[identity].group.members) for identity in sorted(self._used.get(user, ()))}

    def sizes(self) -> dict[str, int]:
        """The number of members of each group in use."""
        return {identity: len(tracked.group.members) for identity, tracked in self._groups.items()}

    def size(self, identities: Iterable[str]) -> int:
        """The number of members of several groups together; groups not in use count as empty."""
        return sum(len(self._groups[identity].counts) for identity in identities if identity in self._groups)

    def size_in_namespace(self, namespace: str) -> int:
        """The number of members of all groups in use in a namespace."""
        return self._members_by_namespace[namespace]

    def take_stale_reports(self) -> set[ObjectName]:
        """The sandboxes whose `unaddressed` reports may have changed since the last call."""
        stale, self._stale_reports = self._stale_reports, set()
        return stale

    def unaddressed(self, user: ObjectName, policies: Iterable[CompiledPolicy]) -> Iterator[Report]:
        """Report the selectors of a sandbox's policies whose pods have no address (S21)."""
        used = self._used.get(user, ())
        missing_on = {identity: missing for identity in used if (missing := self._groups[identity].missing_on)}
        for compiled in policies if missing_on else ():
            peers = {
                spec.peer: missing_on[identity]
                for identity, spec in compiled.groups.items()
                if identity in missing_on and isinstance(spec.peer, PodPeer)
            }
            if peers:
                yield from unaddressed_selectors(compiled.policy, peers.get)


def _matches(selector: Selector | None, labels: Labels | None) -> bool:
    """Whether a namespaceSelector selects a namespace with these labels; an unknown one is selected by none."""
    return selector is not None and labels is not None and selector.matches(labels)


def _filed_under(spec: GroupSpec) -> tuple[str | None, Selector]:
    return (spec.peer.namespace, spec.peer.pod_selector) if isinstance(spec.peer, PodPeer) else (None, EVERYTHING)
