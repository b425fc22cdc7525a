"""Which packets to ask about: those near the borders that a cluster's policies draw."""

from collections.abc import Iterator, Sequence
from itertools import product
from random import Random

from mnp_core.testing.suites.differential.strategies import OUTSIDE, PORTS, PROTOCOLS, Cluster, Manifest
from mnp_core.testing.suites.reference.naive import End, full_name, interfaces, of_kind, plain
from mnp_core.testing.suites.wire.hosts import Probe

Port = tuple[str, int]
ANY = [*product(PROTOCOLS, PORTS)]


def questions(
    cluster: Cluster, chance: Random, count: int, pairs: Sequence[tuple[End, End]] | None = None
) -> list[Probe]:
    """About so many different probes; between these pairs, or else any two of the cluster's pods and strangers."""
    pairs = any_pairs(cluster) if pairs is None else pairs
    declared = {full_name(pod): [*_declared(pod)] for pod in of_kind(cluster.objects, "Pod")}
    mentioned = [*_mentioned(cluster)]

    def ask() -> Probe:
        source, destination = chance.choice(pairs)
        ports = [ports for ports in (declared.get(destination.pod), mentioned, ANY) if ports]
        return Probe(source, destination, *chance.choice(chance.choice(ports)))

    return [*{ask(): None for _ in range(count)}] if pairs else []


def any_pairs(cluster: Cluster) -> list[tuple[End, End]]:
    """All ends of one family, at least one of them a pod's."""
    pods = [end for pod in of_kind(cluster.objects, "Pod") for end in _ends(pod)]
    ends = [*pods, *(End(address) for address in OUTSIDE)]
    return [(s, d) for s, d in product(ends, repeat=2) if _same_family(s, d) and (s.pod or d.pod)]


def _ends(pod: Manifest) -> Iterator[End]:
    for nic in interfaces(pod):
        yield from (End(address, full_name(pod), nic["interface"]) for address in nic["addresses"])


def _declared(pod: Manifest) -> Iterator[Port]:
    """The named ports of its containers, and now and then the same numbers of other protocols."""
    for port in (port for container in pod["spec"]["containers"] for port in container["ports"]):
        yield from [(port.get("protocol", "TCP"), port["containerPort"])] * 3
        yield from ((protocol, port["containerPort"]) for protocol in PROTOCOLS)


def _mentioned(cluster: Cluster) -> Iterator[Port]:
    """The borders of the numbers in rules; a number may be out of bounds and is brought back."""
    for policy in of_kind(cluster.objects, "MultiNetworkPolicy"):
        rules = [*(policy["spec"].get("ingress") or []), *(policy["spec"].get("egress") or [])]
        for entry in (entry for rule in rules for entry in rule.get("ports") or []):
            protocol = entry.get("protocol") if entry.get("protocol") in PROTOCOLS else "TCP"
            for edge in (entry.get("port"), entry.get("endPort")):
                if isinstance(edge, int):
                    yield from ((protocol, min(max(edge + step, 1), 65535)) for step in (-1, 0, 0, 1))


def _same_family(source: End, destination: End) -> bool:
    return (":" in plain(source.address)) == (":" in plain(destination.address))
