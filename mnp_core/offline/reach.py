"""Who reaches whom among the ends of some manifests: pods, groups of equal pods, blocks outside of the cluster."""

from collections.abc import Callable, Iterable, Iterator, Sequence

from mnp_core.classes import frozen
from mnp_core.model import Address, ObjectName
from mnp_core.offline.probe import Probe, ProbeResult, ProbeSpec, ProbeVerdict
from mnp_core.policy.ends import Flow, Host
from mnp_core.policy.explain import Explanation
from mnp_core.policy.reachability import Party, Reachability


@frozen(kw_only=True)
class End:
    """One side of a matrix.

    Attributes:
        name: The pod, or a name for a group; a block outside of the cluster has no namespace.
        party: The pod, one of the group, or an address of the block.
        ports: The ports that it is asked for by default.
        members: All pods of a group, or the pod alone.
        twin: Another pod of the group; None where there is none.
    """

    name: ObjectName
    party: Party
    ports: tuple[ProbeSpec, ...] = ()
    members: tuple[ObjectName, ...] = ()
    twin: Party | None = None

    @classmethod
    def pod(cls, host: Host, ports: Iterable[ProbeSpec]) -> "End":
        """A pod."""
        return cls(name=host.pod, party=host, ports=tuple(ports), members=(host.pod,))

    @classmethod
    def outside(cls, name: str, address: Address, ports: Iterable[ProbeSpec]) -> "End":
        """A block outside of the cluster."""
        return cls(name=ObjectName("", name), party=address, ports=tuple(ports), members=(ObjectName("", name),))

    @property
    def is_outside(self) -> bool:
        """Whether it is outside of the cluster."""
        return not isinstance(self.party, Host)


@frozen(kw_only=True)
class Answer:
    """The answer to one question on one way.

    Attributes:
        source: The end that sends.
        destination: The other one.
        spec: Protocol and port.
        way: The explanation, for one pod of each group.
    """

    source: End
    destination: End
    spec: ProbeSpec
    way: Explanation

    @property
    def network(self) -> ObjectName:
        """The network, of the end that is in the cluster."""
        network = self.way.network
        if network is None:
            raise TypeError("no way leads from outside to outside")
        return network

    def result(self) -> ProbeResult:
        """The answer as that of a probe, for the same tables."""
        ours, theirs = self.way.source, self.way.destination
        inside = theirs.attachment or ours.attachment
        probe = Probe(
            source=self.source.name,
            source_interface=ours.attachment.interface if ours.attachment else "",
            source_address=ours.address,
            destination=self.destination.name,
            network=self.network,
            interface=inside.interface if inside else "",
            address=theirs.address,
            protocol=self.spec.protocol,
            port=self.spec.port,
        )
        return ProbeResult(probe=probe, verdict=self._verdict())

    def _verdict(self) -> ProbeVerdict:
        if self.way.would_deny:
            return ProbeVerdict.WOULD_DENY
        return ProbeVerdict.ALLOWED if self.way.allowed else ProbeVerdict.DENIED

    def as_json(self, unknown: frozenset[Address] = frozenset()) -> dict[str, object]:
        """One element of ``probes``: a probe as the lab writes it, with the reasons; unknown addresses are null."""
        answer = self.way.as_json() | {"from": str(self.source.name), "to": str(self.destination.name)}
        return _without_addresses(answer, {str(address) for address in unknown})


def _without_addresses(answer: dict[str, object], unknown: set[str]) -> dict[str, object]:
    hidden = {key: None for key, value in answer.items() if key == "address" and value in unknown}
    below = {key: _without_addresses(value, unknown) for key, value in answer.items() if isinstance(value, dict)}
    return answer | below | hidden


Specs = Callable[[End], Sequence[ProbeSpec]]
"""The questions to a destination."""


def default_ports(end: End) -> Sequence[ProbeSpec]:
    """The questions to a destination that nobody has chosen."""
    return end.ports


def answers(
    reach: Reachability, sources: Iterable[End], destinations: Sequence[End], specs: Specs = default_ports
) -> Iterator[Answer]:
    """Answer all questions; ends are those that the reachability has been made for."""
    for source in sources:
        for destination in destinations:
            party = destination.party if source.name != destination.name else destination.twin
            if party is None or (source.is_outside and destination.is_outside):
                continue
            asked = {Flow(protocol=spec.protocol, port=spec.port): spec for spec in specs(destination)}
            for way in reach.ways(source.party, party, list(asked)):
                yield Answer(source=source, destination=destination, spec=asked[way.flow], way=way)


def grouped(reach: Reachability, ends: Iterable[End], key: Callable[[End], object] = lambda _: None) -> list[End]:
    """Ends with equal answers as one, in the order of their first members.

    Args:
        reach: Made for all of them.
        ends: The ends.
        key: A further property that members of a group have in common.
    """
    groups: dict[object, list[End]] = {}
    for end in ends:
        likeness = reach.likeness(end.party)
        groups.setdefault((end.name.namespace, end.is_outside, end.ports, likeness, key(end)), []).append(end)
    return [_group(members) for members in groups.values()]


def _group(ends: list[End]) -> End:
    first = ends[0]
    if len(ends) == 1:
        return first
    return End(
        name=ObjectName(first.name.namespace, f"{first.name.name} (+{len(ends) - 1})"),
        party=first.party,
        ports=first.ports,
        members=tuple(name for end in ends for name in end.members),
        twin=ends[1].party,
    )
