"""Address groups that sandboxes of this node use, kept up to date pod by pod.

Only groups that somebody here uses are maintained: a cluster's other policies cost this node nothing.
"""

from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping
from itertools import islice
from typing import cast

from attrs import define, field

from mnp_core.cluster.pods import PodIndex
from mnp_core.cluster.selector_index import SelectorIndex
from mnp_core.model import (
    EVERYTHING,
    Address,
    AddressGroup,
    Block,
    Endpoint,
    EndpointGroup,
    Group,
    GroupDelta,
    GroupSpec,
    NamedPort,
    ObjectName,
    PodPeer,
    Report,
    Scope,
    Selector,
)
from mnp_core.policy.compile import CompiledPolicy
from mnp_core.policy.membership import is_meant, members
from mnp_core.policy.validate import unaddressed_selectors

_SAMPLE = 32  # pods by which the size of a group is estimated
_SURE = 1.5  # times the limit that an estimate has to be over it: a group that is too big is not made to find out

_Contribution = frozenset[Address] | frozenset[Endpoint]


@define
class _TrackedGroup:
    """One group with who uses it and who contributes what; several pods may contribute the same address."""

    spec: GroupSpec
    group: Group
    users: set[ObjectName] = field(factory=set)
    namespaces: Counter[str] = field(factory=Counter)
    contributions: dict[ObjectName, _Contribution] = field(factory=dict)
    counts: Counter[Address | Endpoint] = field(factory=Counter)
    idle: dict[ObjectName, frozenset[ObjectName]] = field(factory=dict)
    """Pods that the selectors match and that contribute nothing, with the networks on which they lack an address."""
    lacked: frozenset[ObjectName] = frozenset()  # `lacking` when it was settled last
    dirty: bool = False

    @property
    def lacking(self) -> frozenset[ObjectName]:
        """The networks on which its pods lack addresses; none if any pod has one, with the right port or not."""
        if self.counts or not all(self.idle.values()):
            return frozenset()
        return frozenset[ObjectName]().union(*self.idle.values())

    def set_members(self, pod: ObjectName, now: _Contribution, idle: frozenset[ObjectName] | None) -> None:
        before: _Contribution = self.contributions.pop(pod, frozenset())
        if idle != self.idle.pop(pod, None):
            self.dirty = True
        if idle is not None:
            self.idle[pod] = idle
        if now:
            self.contributions[pod] = now
        if now != before:
            self._count(now - before, before - now)
            self.dirty = True

    def _count(self, came: Iterable[Address | Endpoint], went: Iterable[Address | Endpoint]) -> None:
        """Keep exactly what somebody contributes."""
        self.counts.update(came)
        for member in went:
            self.counts[member] -= 1
            if not self.counts[member]:
                del self.counts[member]

    def flush(self) -> GroupDelta | None:
        """Take over what was contributed; the difference, if there is one."""
        if not self.dirty:
            return None
        self.dirty = False
        before, self.group = self.group, _group(self.spec, self.group.id, self.counts)
        return GroupDelta(before=before, after=self.group) if before != self.group else None


def _group(spec: GroupSpec, identity: str, content: Iterable[Address | Endpoint]) -> Group:
    """A group's value, of the type that its spec asks for: what `members` gives for a spec is of this type too."""
    if spec.port is None:
        return AddressGroup(id=identity, members=frozenset(cast("Iterable[Address]", content)))
    return EndpointGroup(id=identity, members=frozenset(cast("Iterable[Endpoint]", content)))


def _filed_under(spec: GroupSpec) -> tuple[str | None, Selector]:
    return (spec.peer.namespace, spec.peer.pod_selector) if isinstance(spec.peer, PodPeer) else (None, EVERYTHING)


class AddressGroups:
    """The groups in use."""

    def __init__(self, pods: PodIndex) -> None:
        self._pods = pods
        self._groups: dict[str, _TrackedGroup] = {}
        self._used: defaultdict[ObjectName, set[str]] = defaultdict(set)
        self._member_of: dict[ObjectName, set[str]] = defaultdict(set)
        self._index: SelectorIndex[str] = SelectorIndex()
        self._members_for: Counter[str] = Counter()  # by the namespace of whoever uses the groups
        self._own: dict[ObjectName, dict[tuple[Scope, NamedPort | None], _Contribution]] = {}
        self._affected: set[ObjectName] = set()  # users of groups whose pods came to lack addresses, or have some now

    def admit(self, user: ObjectName, specs: Mapping[str, GroupSpec], most: int, most_together: int) -> bool:
        """Begin to use the groups of a policy, until `release`; False, and nothing, if they are too big.

        Args:
            user: A sandbox.
            specs: The groups.
            most: How many members they may have together.
            most_together: How many all groups may have that are used in the sandbox's namespace.
        """
        if sum(self._estimate(identity, spec) for identity, spec in specs.items()) > _SURE * most:
            return False
        total, used, new = 0, self._used[user], set[str]()
        for identity, spec in specs.items():
            if identity not in used:
                self._begin(user, identity, spec)
                new.add(identity)
                used.add(identity)
            total += len(self._groups[identity].counts)
            if total > most or self._members_for[user.namespace] > most_together:
                self.release(user, new)
                return False
        return True

    def crowd(self, namespace: str) -> int:
        """How many members all groups have that are used in a namespace."""
        return self._members_for[namespace]

    def size(self, identities: Iterable[str]) -> int:
        """How many members some groups have together."""
        return sum(len(self._groups[identity].counts) for identity in identities if identity in self._groups)

    def keep(self, user: ObjectName, identities: Container[str]) -> None:
        """Use no groups but these any more."""
        self.release(user, [identity for identity in self._used.get(user, ()) if identity not in identities])

    def release(self, user: ObjectName, identities: Iterable[str]) -> None:
        """Use some groups no more; those without users are dropped."""
        used = self._used[user]
        for identity in identities:
            used.discard(identity)
            self._release(identity, user)
        if not used:
            del self._used[user]

    def refresh(self, pod: ObjectName) -> None:
        """A pod, or the labels of its namespace, changed: work out what it contributes now."""
        self._own.pop(pod, None)
        member = self._pods.get(pod)
        affected = set(self._member_of.get(pod, ()))
        if member is not None:
            affected.update(self._index.candidates(pod.namespace, member.pod.labels))
        for identity in affected:
            self._contribute(self._groups[identity], pod)

    def flush(self) -> Iterator[tuple[GroupDelta, frozenset[ObjectName]]]:
        """All differences since the last time, each with the sandboxes that use the group."""
        for live in self._groups.values():
            before = len(live.group.members)
            delta = live.flush()
            if live.lacked != (lacking := live.lacking if live.idle else frozenset()):
                live.lacked = lacking
                self._affected.update(live.users)
            if delta is not None:
                for namespace in live.namespaces:
                    self._members_for[namespace] += len(live.group.members) - before
                yield delta, frozenset(live.users)

    def take_affected(self) -> set[ObjectName]:
        """The sandboxes of which `unaddressed` may say something else since the last time."""
        affected, self._affected = self._affected, set()
        return affected

    def unaddressed(self, policies: Iterable[CompiledPolicy]) -> Iterator[Report]:
        """Report the selectors of policies in use whose pods have no address (S21)."""
        for compiled in policies:
            lacking = {
                spec.peer: live.lacking
                for identity, spec in compiled.groups.items()
                if isinstance(spec.peer, PodPeer) and (live := self._groups.get(identity)) and live.idle
            }
            if any(lacking.values()):
                yield from unaddressed_selectors(compiled.policy, lacking.get)

    def snapshot(self, user: ObjectName) -> dict[str, Group]:
        """The groups that a sandbox uses, as they are now."""
        return {identity: self._groups[identity].group for identity in self._used.get(user, ())}

    def sizes(self) -> dict[str, int]:
        """Members by group, for metrics."""
        return {identity: len(live.group.members) for identity, live in self._groups.items()}

    def _acquire(self, identity: str, spec: GroupSpec) -> _TrackedGroup:
        live = self._groups.get(identity)
        if live is None:
            live = self._groups[identity] = _TrackedGroup(spec, _group(spec, identity, ()))
            self._index.add(identity, *_filed_under(spec))
            for pod in self._pods.candidates(spec):
                now = self._members(spec, pod)
                live.set_members(pod, now, self._idle(spec, pod, now))
                if pod in live.contributions or pod in live.idle:
                    self._member_of[pod].add(identity)
            live.dirty = True
            live.flush()
        return live

    def _estimate(self, identity: str, spec: GroupSpec) -> int:
        """About how many members a group has or would have, by some of the pods that could be among them."""
        live = self._groups.get(identity)
        if live is not None:
            return len(live.counts)
        candidates = self._pods.candidates(spec)
        number = len(candidates)
        some = tuple(islice(candidates, None, None, max(1, number // _SAMPLE)))
        return sum(len(self._members(spec, pod)) for pod in some) * number // max(1, len(some))

    def _begin(self, user: ObjectName, identity: str, spec: GroupSpec) -> None:
        live = self._acquire(identity, spec)
        live.users.add(user)
        live.namespaces[user.namespace] += 1
        if live.namespaces[user.namespace] == 1:
            self._members_for[user.namespace] += len(live.group.members)

    def _release(self, identity: str, user: ObjectName) -> None:
        live = self._groups[identity]
        live.users.discard(user)
        live.namespaces[user.namespace] -= 1
        if not live.namespaces[user.namespace]:
            del live.namespaces[user.namespace]
            self._members_for[user.namespace] -= len(live.group.members)
        if not live.users:
            del self._groups[identity]
            self._index.discard(identity, *_filed_under(live.spec))
            for pod in live.contributions.keys() | live.idle.keys():
                self._leave(pod, identity)

    def _contribute(self, live: _TrackedGroup, pod: ObjectName) -> None:
        now = self._members(live.spec, pod)
        idle = self._idle(live.spec, pod, now)
        live.set_members(pod, now, idle)
        if now or idle is not None:
            self._member_of[pod].add(live.group.id)
        else:
            self._leave(pod, live.group.id)

    def _leave(self, pod: ObjectName, identity: str) -> None:
        groups = self._member_of.get(pod)
        if groups is not None:
            groups.discard(identity)
            if not groups:
                del self._member_of[pod]

    def _members(self, spec: GroupSpec, pod: ObjectName) -> _Contribution:
        member = self._pods.get(pod)
        labels = self._pods.namespace_labels(pod.namespace)
        by_namespace = isinstance(spec.peer, PodPeer) and spec.peer.namespace is None
        if member is None or (by_namespace and labels is None):
            return frozenset()
        found = members(spec, member.pod, member.peers, labels or {})
        if not found or isinstance(spec.peer, Block):
            return found
        return self._own.setdefault(pod, {}).setdefault((spec.scope, spec.port), found)  # one copy for all groups

    def _idle(self, spec: GroupSpec, pod: ObjectName, contribution: _Contribution) -> frozenset[ObjectName] | None:
        """On which networks a pod lacks an address that selectors match in vain; None if they do not.

        The networks are none if it has an address, but not the port.
        """
        member, labels = self._pods.get(pod), self._pods.namespace_labels(pod.namespace)
        if contribution or member is None or not member.looked_at or not isinstance(spec.peer, PodPeer):
            return None
        if labels is None and spec.peer.namespace is None:
            return None
        if not member.pod.counts or not is_meant(spec.peer, member.pod, labels or {}):
            return None
        attachments = [peer for peer in member.claims.peers if spec.scope.covers(peer)]
        if not attachments:
            return None
        has_address = any(attachment.addresses for attachment in attachments)
        return frozenset(() if has_address else (attachment.network for attachment in attachments))
