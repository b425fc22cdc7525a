"""Real packets between pods, over their secondary interfaces."""

from collections.abc import Iterable, Iterator, Mapping
from ipaddress import ip_address
from typing import Any

from mnp_core.model import ObjectName
from mnp_core.offline.probe import Probe, ProbeSpec, ProbeVerdict, parse_probe
from mnp_lab.prober import Prober
from tests.cluster.manifests import network_status
from tests.cluster.objects import Objects
from tests.cluster.sandboxes import Sandboxes

Pair = tuple[str, str]


class PodProbes:
    """Asks who reaches whom. Pods are named ``namespace/name``, and so are networks."""

    def __init__(self, objects: Objects, sandboxes: Sandboxes) -> None:
        self._objects = objects
        self._sandboxes = sandboxes

    def matrix(
        self, pods: Iterable[str], network: str, what: str = "tcp:80", *, timeout: float = 1.0
    ) -> dict[Pair, ProbeVerdict]:
        """Probe every ordered pair of the pods, over one network.

        Args:
            pods: Sources and destinations.
            network: The network that all of them are on.
            what: Protocol and port, such as ``tcp:80``, ``udp:53``, ``icmp``.
            timeout: Seconds of silence that count as a denial.
        """
        names = tuple(pods)
        return self.ask(((a, b) for a in names for b in names if a != b), network, what, timeout=timeout)

    def ask(
        self, pairs: Iterable[Pair], network: str, what: str = "tcp:80", *, timeout: float = 1.0
    ) -> dict[Pair, ProbeVerdict]:
        """Probe these ordered pairs, over every address of a pair; the first failure is its verdict."""
        wanted = tuple(pairs)
        links = {name: self._link(name, network) for name in {name for pair in wanted for name in pair}}
        probes = [probe for pair in wanted for probe in _probes(pair, links, network, parse_probe(what))]
        with Prober(self._sandboxes.locate) as prober:
            results = prober.run(probes, timeout)
        verdicts: dict[Pair, ProbeVerdict] = {}
        for result in results:
            pair = str(result.probe.source), str(result.probe.destination)
            if verdicts.get(pair, ProbeVerdict.ALLOWED) is ProbeVerdict.ALLOWED:
                verdicts[pair] = result.verdict
        return verdicts

    def reaches(self, source: str, destination: str, network: str, what: str = "tcp:80") -> bool:
        """Whether an answer comes back."""
        return self.ask([(source, destination)], network, what)[source, destination] is ProbeVerdict.ALLOWED

    def _link(self, name: str, network: str) -> Mapping[str, Any]:
        namespace, _, bare = name.partition("/")
        status = network_status(self._objects.get("v1/Pod", bare, namespace))
        found = next((entry for entry in status if entry["name"] == network), None)
        if found is None:
            raise LookupError(f"pod {name} is not on network {network}: its network-status is {status}")
        return found


def _probes(pair: Pair, links: Mapping[str, Mapping[str, Any]], network: str, spec: ProbeSpec) -> Iterator[Probe]:
    source, destination = pair
    ours, theirs = links[source], links[destination]
    for target in map(ip_address, theirs["ips"]):
        origin = next((a for a in map(ip_address, ours["ips"]) if a.version == target.version), None)
        if origin is not None:
            yield Probe(
                source=_name(source),
                source_interface=ours["interface"],
                source_address=origin,
                destination=_name(destination),
                network=_name(network),
                interface=theirs["interface"],
                address=target,
                protocol=spec.protocol,
                port=spec.port,
            )


def _name(text: str) -> ObjectName:
    namespace, _, bare = text.partition("/")
    return ObjectName(namespace, bare)
