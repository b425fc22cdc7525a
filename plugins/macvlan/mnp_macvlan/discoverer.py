"""Finds a macvlan attachment among the links in the pod's network namespace.

The CNI plugin makes a link of kind macvlan on an interface of the node and moves it into the pod
(containernetworking/plugins, main/macvlan). There it is a device like any other: packets enter and leave the pod's
kernel by it, so rules in the pod's namespace enforce policy on it by name.
"""

from collections.abc import Sequence

from mnp_core.api import Discovery
from mnp_core.discovery import compare
from mnp_core.model import Attachment, Link

KIND = "macvlan"
"""IFLA_INFO_KIND, and the CNI type."""


class MacvlanDiscoverer:
    """An `mnp_core.api.InterfaceDiscoverer` for the CNI type ``macvlan``."""

    def discover(self, claim: Attachment, links: Sequence[Link]) -> Discovery:
        """Find the link by the claimed name and report differences; see the Protocol."""
        return compare(claim, links, kinds={KIND})
