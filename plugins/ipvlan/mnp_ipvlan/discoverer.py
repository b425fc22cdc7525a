"""Finds an ipvlan attachment among the links in the pod's network namespace, and says where its packets go.

All ipvlan interfaces on one parent have the parent's MAC address; the kernel tells their packets apart by IP address
(Documentation/networking/ipvlan.rst). What policy has to know is where a packet meets netfilter, by mode:

* l2, l3: the parent's receive handler gives a packet from the wire the ipvlan interface as its device before the IP
  layer sees it, so prerouting and input are the pod's (drivers/net/ipvlan/ipvlan_core.c, ipvlan_rcv_frame).
* l3s: a packet from the wire stays the parent's until the end of the *node's* input hook, and is then handed to the
  socket (drivers/net/ipvlan/ipvlan_l3s.c, ipvlan_nf_input). No hook in the pod's namespace ever sees it. What another
  interface on the same parent sends is forwarded as in l3 and does pass the pod's hooks, and so does all that the pod
  sends. Seen on Linux 6.12 too: of packets from the wire that a socket in the pod receives, its input hook counts none.
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
        """Find the link by the claimed name, and say in what it differs and how far it can be enforced."""
        discovery = compare(claim, links, kinds={KIND}, own_mac=False)
        link = find_link(claim, links)
        if discovery.unenforceable or link is None or (link.kind, link.mode) != (KIND, "l3s"):
            return discovery
        return evolve(discovery, attachment=claim, unenforceable=_INPUT_ON_THE_NODE)
