"""The kinds of attachment that the suites' agents know: those of installed plugins, and macvlan in any case.

A backend's author has no reason to install an attachment plugin, and the suites' pods have macvlan interfaces.
"""

from collections.abc import Mapping, Sequence

from mnp_core.api import Discovery, InterfaceDiscoverer
from mnp_core.discovery import compare
from mnp_core.model import Attachment, Link
from mnp_core.plugins import Registry

MACVLAN = "macvlan"


class _Macvlan:
    def discover(self, claim: Attachment, links: Sequence[Link]) -> Discovery:
        return compare(claim, links, kinds={MACVLAN})


def claimed_types(registry: Registry) -> frozenset[str]:
    """The CNI types of attachments that are enforced."""
    return registry.claimed_types | {MACVLAN}


def make_discoverers(registry: Registry) -> Mapping[str, InterfaceDiscoverer]:
    """By CNI type."""
    return {MACVLAN: _Macvlan(), **registry.make_discoverers()}
