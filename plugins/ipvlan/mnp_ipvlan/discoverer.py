"""Finds an ipvlan attachment among the links in the pod's network namespace, and the hooks that its packets meet.

All ipvlan interfaces on one parent have the parent's MAC address; the kernel separates their packets by IP address
(Documentation/networking/ipvlan.rst). Where a packet meets netfilter depends on the mode:

* l2, l3: the parent's receive handler gives a packet from the wire the ipvlan interface as its device before the IP
  layer sees it, so prerouting and input are the pod's (drivers/net/ipvlan/ipvlan_core.c, ipvlan_rcv_frame).
* l3s: a packet from the wire stays the parent's until the end of the *node's* input hook, and is then handed to the
  socket (drivers/net/ipvlan/ipvlan_l3s.c, ipvlan_nf_input). No hook in the pod's namespace ever sees it. Packets
  of another interface on the same parent are forwarded as in l3 and do pass the pod's hooks, and so do those of the
  pod. Seen on Linux 6.12 too: of packets from the wire that a socket in the pod receives, its input hook counts none.
"""

from collections.abc import Sequence

from attrs import evolve

from mnp_core.api import Discovery
from mnp_core.discovery import compare, find_link
from mnp_core.model import Attachment, Link

KIND = "ipvlan"
"""IFLA_INFO_KIND, and the CNI type."""

_INPUT_ON_THE_NODE = (
    "it is in mode l3s, in which packets from outside of the node pass the node's input hook instead of the pod's:"
    " ingress policies hold only for what other pods on the same parent interface send, egress policies hold;"
    " configure the network with mode l2 or l3"
)


class IpvlanDiscoverer:
    """An `mnp_core.api.InterfaceDiscoverer` for the CNI type ``ipvlan``."""

    def discover(self, claim: Attachment, links: Sequence[Link]) -> Discovery:
        """Find the link by the claimed name; report differences, and whether it can be enforced."""
        discovery = compare(claim, links, kinds={KIND}, own_mac=False)
        link = find_link(claim, links)
        if discovery.unenforceable or link is None or (link.kind, link.mode) != (KIND, "l3s"):
            return discovery
        return evolve(discovery, attachment=claim, unenforceable=_INPUT_ON_THE_NODE)
