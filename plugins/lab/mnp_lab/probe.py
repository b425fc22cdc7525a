"""The possible probes of a lab: every pair of pods on every network that they share."""

from collections.abc import Container, Iterable, Iterator, Sequence

from mnp_core.model import ObjectName
from mnp_core.offline.probe import DEFAULT_SPEC, Probe, ProbeSpec
from mnp_core.offline.strict_field import AddressInterface
from mnp_lab.topology import LabPlan, PodLink, PodPlan

__all__ = ["plan_probes"]


def plan_probes(
    plan: LabPlan,
    specs: Sequence[ProbeSpec] = (),
    *,
    sources: Container[ObjectName] | None = None,
    destinations: Container[ObjectName] | None = None,
    network: ObjectName | None = None,
    include_self: bool = False,
) -> tuple[Probe, ...]:
    """Every ordered pair of pods, on every network that they share, in every address family that both have.

    Also between networks that are one wire, to addresses that the source has on its link.

    Args:
        plan: The lab.
        specs: Protocols and ports; empty means every container port that the destination declares, else tcp:80.
        sources: Only these; None means all pods.
        destinations: Likewise.
        network: Only this one; None means all.
        include_self: Also from each pod to itself.
    """
    return tuple(
        probe
        for source in _chosen(plan, sources)
        for destination in _chosen(plan, destinations)
        if include_self or source is not destination
        for ours, theirs in _shared(source, destination, network)
        for spec in specs or _declared(destination)
        for probe in _probes(source, ours, destination, theirs, spec)
    )


def _chosen(plan: LabPlan, names: Container[ObjectName] | None) -> list[PodPlan]:
    return [pod for name, pod in sorted(plan.pods.items()) if names is None or name in names]


def _shared(source: PodPlan, destination: PodPlan, network: ObjectName | None) -> Iterator[tuple[PodLink, PodLink]]:
    for ours in source.links:
        for theirs in destination.links:
            if ours.wire == theirs.wire and network in (None, theirs.network):
                yield ours, theirs


def _declared(destination: PodPlan) -> Iterable[ProbeSpec]:
    return sorted({ProbeSpec(protocol=p.protocol, port=p.port) for p in destination.ports}) or (DEFAULT_SPEC,)


def _probes(source: PodPlan, ours: PodLink, destination: PodPlan, theirs: PodLink, spec: ProbeSpec) -> Iterator[Probe]:
    """One for each address of the destination, from the source's first address of the same family."""
    for target in theirs.addresses:
        origin = next((own for own in ours.addresses if _reaches(ours, own, theirs, target)), None)
        if origin is not None:
            yield Probe(
                source=source.name,
                source_interface=ours.interface,
                source_address=origin.ip if source is not destination else target.ip,
                destination=destination.name,
                network=theirs.network,
                interface=theirs.interface,
                address=target.ip,
                protocol=spec.protocol,
                port=spec.port,
            )


def _reaches(ours: PodLink, own: AddressInterface, theirs: PodLink, target: AddressInterface) -> bool:
    """Whether it can be sent from an address to another one; on another network, without a router."""
    if ours.network == theirs.network:
        return own.version == target.version
    return target.ip in own.network and own.ip != target.ip
