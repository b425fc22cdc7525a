"""Finds attachments that are ordinary kernel devices.

Their packets enter and leave the pod's kernel by the interface that network-status names, so rules in the pod enforce
policy on them by this name. The types differ only in the expected kind of link.
"""

from collections.abc import Mapping, Sequence

from mnp_core.api import Discovery
from mnp_core.discovery import compare
from mnp_core.model import Attachment, Link

_HARDWARE = ""

KINDS: Mapping[str, frozenset[str] | None] = {
    # containernetworking/plugins
    "bridge": frozenset({"veth"}),
    "dummy": frozenset({"dummy"}),
    "host-device": None,  # any device of the node: a card, a vlan, one half of a veth
    "ptp": frozenset({"veth"}),
    "tap": frozenset({"tun"}),  # tun and tap devices are one kind (drivers/net/tun.c)
    "vlan": frozenset({"vlan"}),
    # k8snetworkplumbingwg
    "bond": frozenset({"bond"}),
    "ovs": frozenset({"veth", _HARDWARE}),  # a virtual function, if the switch is offloaded to the card
    # kubevirt
    "macvtap": frozenset({"macvtap"}),
}
"""The kinds of link (IFLA_INFO_KIND) that each CNI type makes in the pod, by its documentation; None is any."""


class NetdevDiscoverer:
    """An `mnp_core.api.InterfaceDiscoverer` for every CNI type in `KINDS`."""

    def discover(self, claim: Attachment, links: Sequence[Link]) -> Discovery:
        """Find the link by the claimed name and report differences; see the Protocol."""
        return compare(claim, links, kinds=KINDS.get(claim.kind))
