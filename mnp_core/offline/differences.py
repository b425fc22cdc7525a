"""The pairs that open and close from one state of the objects to another."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from attrs import field

from mnp_core.classes import define, frozen
from mnp_core.model import ObjectName
from mnp_core.offline.probe import ProbeSpec
from mnp_core.offline.reach import End, answers, grouped
from mnp_core.policy.reachability import Reachability

Way = tuple[ObjectName, int]
"""Network and address family."""

Verdicts = Mapping[Way, Mapping[ProbeSpec, bool]]
"""Whether a pair reaches each other, on any of its addresses."""


@frozen(kw_only=True)
class Difference:
    """The difference for one pair on one network.

    Attributes:
        source: The pods, or block outside of the cluster, that send.
        destination: The others.
        network: The network, that of the destination.
        family: 4 or 6.
        opened: Ports that were not allowed and are.
        closed: Ports that were allowed and are not.
        pair: Whether the pair is kept, or there in one of the states alone: new or gone.
        count: How many pairs of pods it is about.
    """

    source: "Group"
    destination: "Group"
    network: ObjectName
    family: int
    opened: tuple[ProbeSpec, ...]
    closed: tuple[ProbeSpec, ...]
    pair: str
    count: int


@frozen(kw_only=True)
class Group:
    """Pods that have equal answers before, and after.

    Attributes:
        members: The pods, or the blocks.
        before: The group that they are a part of in the old state; None if they were not there.
        after: Likewise in the new one.
    """

    members: tuple[ObjectName, ...]
    before: End | None
    after: End | None

    @property
    def name(self) -> ObjectName:
        """The pod, or a name for several."""
        first, others = self.members[0], len(self.members) - 1
        return ObjectName(first.namespace, f"{first.name} (+{others})") if others else first


@define
class State:
    """One state of the objects.

    Attributes:
        reach: Made for the ends.
        ends: Pods and blocks.
        specs: The questions to all of them.
    """

    reach: Reachability
    ends: Sequence[End]
    specs: Sequence[ProbeSpec]
    _known: dict[tuple[ObjectName, ObjectName], Verdicts] = field(factory=dict, init=False)

    def groups(self) -> dict[ObjectName, End]:
        """The groups of ends with equal answers, by member."""
        return {name: group for group in grouped(self.reach, self.ends) for name in group.members}

    def verdicts(self, source: End | None, destination: End | None) -> Verdicts:
        """The verdicts between two groups, or within one."""
        if source is None or destination is None:
            return {}
        key = source.name, destination.name
        if key not in self._known:
            found: dict[Way, dict[ProbeSpec, bool]] = defaultdict(dict)
            for each in answers(self.reach, [source], [destination], lambda _: self.specs):
                way = found[each.network, each.way.destination.address.version]
                way[each.spec] = way.get(each.spec, False) or each.way.allowed
            self._known[key] = dict(found)
        return self._known[key]


def differences(old: State, new: State) -> Iterator[Difference]:
    """All differences, in the order of the pods' names."""
    groups = _groups(old.groups(), new.groups())
    for source in groups:
        for destination in groups:
            if source is destination and len(source.members) == 1:
                continue
            before = old.verdicts(source.before, destination.before)
            after = new.verdicts(source.after, destination.after)
            for way in sorted({*before, *after}):
                yield from _difference(source, destination, way, before, after)


def _groups(old: Mapping[ObjectName, End], new: Mapping[ObjectName, End]) -> list[Group]:
    members: dict[tuple[ObjectName | None, ObjectName | None], list[ObjectName]] = defaultdict(list)
    for name in sorted({*old, *new}):
        members[_name(old.get(name)), _name(new.get(name))].append(name)
    return [
        Group(members=tuple(names), before=old.get(names[0]), after=new.get(names[0])) for names in members.values()
    ]


def _name(end: End | None) -> ObjectName | None:
    return end.name if end is not None else None


def _difference(source: Group, destination: Group, way: Way, before: Verdicts, after: Verdicts) -> Iterator[Difference]:
    was, now = before.get(way, {}), after.get(way, {})
    opened = tuple(spec for spec, allowed in now.items() if allowed and not was.get(spec, False))
    closed = tuple(spec for spec, allowed in was.items() if allowed and not now.get(spec, False))
    if opened or closed:
        network, family = way
        yield Difference(
            source=source,
            destination=destination,
            network=network,
            family=family,
            opened=opened,
            closed=closed,
            pair="new" if way not in before else "gone" if way not in after else "kept",
            count=len(source.members) * (len(destination.members) - (source is destination)),
        )


def count(found: Iterable[Difference]) -> tuple[int, int]:
    """How many pairs open on some port, and how many close."""
    found = list(found)
    return sum(each.count for each in found if each.opened), sum(each.count for each in found if each.closed)
