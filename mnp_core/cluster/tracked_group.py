"""One address group in use: its value, its users, and each pod's share of it."""

from collections import Counter
from collections.abc import Iterable
from typing import cast

from attrs import field

from mnp_core.classes import define
from mnp_core.model import Address, AddressGroup, Endpoint, EndpointGroup, Group, GroupDelta, GroupSpec, ObjectName

Members = tuple[Address | Endpoint, ...]
"""Different ones; most pods have one, and a set of one takes four times as much memory."""


@define
class TrackedGroup:
    """A group, kept up to date pod by pod; several pods may have the same address.

    Attributes:
        spec: The meaning of the group.
        group: Its value at the last `flush`.
        users: The sandboxes whose rules refer to it.
        user_namespaces: The number of users of each namespace.
        counts: The number of pods of each present member.
    """

    spec: GroupSpec
    group: Group
    users: set[ObjectName] = field(factory=set)
    user_namespaces: Counter[str] = field(factory=Counter)
    counts: Counter[Address | Endpoint] = field(factory=Counter)
    _members: dict[ObjectName, Members] = field(factory=dict)
    _unaddressed: dict[ObjectName, frozenset[ObjectName]] = field(factory=dict)
    _missing_at_flush: frozenset[ObjectName] = frozenset()

    @classmethod
    def empty(cls, identity: str, spec: GroupSpec) -> "TrackedGroup":
        """A group without members and users."""
        return cls(spec, _value(identity, spec, ()))

    @property
    def pods(self) -> set[ObjectName]:
        """The pods that the group depends on."""
        return self._members.keys() | self._unaddressed.keys()

    @property
    def missing_on(self) -> frozenset[ObjectName]:
        """The networks on which its pods lack addresses; empty if any pod has one, even without the right port."""
        if not self._unaddressed or self.counts or not all(self._unaddressed.values()):
            return frozenset()
        return frozenset[ObjectName]().union(*self._unaddressed.values())

    def set_members(self, pod: ObjectName, members: Members, missing_on: frozenset[ObjectName] | None) -> bool:
        """Replace the share of one pod.

        Args:
            pod: The pod.
            members: Its addresses or endpoints, each once.
            missing_on: None, or, for a selected pod without members, the networks on which it lacks an address.

        Returns:
            Whether that changed anything.
        """
        before, now = frozenset(self._members.pop(pod, ())), frozenset(members)
        missing_before = self._unaddressed.pop(pod, None)
        if missing_on is not None:
            self._unaddressed[pod] = missing_on
        if members:
            self._members[pod] = members
        if now != before:
            self._count(now - before, before - now)
        return now != before or missing_on != missing_before

    def _count(self, added: Iterable[Address | Endpoint], removed: Iterable[Address | Endpoint]) -> None:
        self.counts.update(added)
        for member in removed:
            self.counts[member] -= 1
            if not self.counts[member]:
                del self.counts[member]

    def flush(self) -> GroupDelta | None:
        """Bring `group` up to date; return the difference, if there is one."""
        before, self.group = self.group, _value(self.group.id, self.spec, self.counts)
        return GroupDelta(before=before, after=self.group) if before != self.group else None

    def flush_missing(self) -> bool:
        """Whether `missing_on` has changed since the last call."""
        before, self._missing_at_flush = self._missing_at_flush, self.missing_on
        return before != self._missing_at_flush


def _value(identity: str, spec: GroupSpec, members: Iterable[Address | Endpoint]) -> Group:
    """A group of the type that its spec asks for, which is also the type of `membership.members`."""
    if spec.port is None:
        return AddressGroup(id=identity, members=frozenset(cast("Iterable[Address]", members)))
    return EndpointGroup(id=identity, members=frozenset(cast("Iterable[Endpoint]", members)))
