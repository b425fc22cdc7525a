"""The configuration of a network as the rules of lint look at it."""

from typing import Final

from mnp_core.offline.definition import Definition
from mnp_core.policy.lint import NetworkFacts

_WHEREABOUTS: Final = "whereabouts"


def network_facts(definition: Definition, wire: str = "") -> NetworkFacts:
    """The facts of a network; `wire` is the layer 2 that it is known to be on, if that is not in the definition."""
    return NetworkFacts(
        wire=wire or definition.wire or str(definition.name),
        pool=_pool(definition),
        subnets=definition.ipam.subnets,
        routes=tuple(destination for destination, _ in definition.ipam.routes),
        nameservers=definition.nameservers,
    )


def _pool(definition: Definition) -> str:
    """Whereabouts leases an address of a range once in a cluster, whichever network asks for it."""
    section = definition.ipam.source
    if section.child("type").text() != _WHEREABOUTS or not section.child("range").text():
        return ""
    return f"{section.child('range').text()} {section.child('network_name').text()}"
