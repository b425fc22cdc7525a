"""Where packets are judged: in one table, so that everything of a family changes in one commit (S60).

Ordinarily that is the mangle table. Its PREROUTING chain sees local input and forwarded packets, after defragmentation
and connection tracking, before any address translation, and on the interface that the packet came in on even if a VRF
enslaves that (S47). Its POSTROUTING chain sees local output and forwarded packets, after the translation of
destinations and before that of sources: the packet as it leaves.

REJECT works in the filter table alone (S48). Its chains see ingress after the translation of destinations, and for
interfaces in a VRF under the name of the VRF. So rules that reject go there, as a whole, and ask connection tracking
for the port that the packet had on the wire; where an interface is in a VRF, the mangle table is used all the same, and
drops.
"""

from collections.abc import Mapping

from attrs import frozen

from mnp_core.model import Direction
from mnp_iptables.render.matches import OPENING, OPENING_TRANSLATED, Fields


@frozen(kw_only=True)
class HookPoints:
    """A table to judge packets in.

    Attributes:
        table: Its name.
        hooks: The built-in chains that each direction passes through, each once.
        opening: Where packets that open a connection show peer and port.
        rejects: Whether REJECT works here.
    """

    table: str
    hooks: Mapping[Direction, tuple[str, ...]]
    opening: Mapping[Direction, Fields]
    rejects: bool


MANGLE = HookPoints(
    table="mangle",
    hooks={Direction.INGRESS: ("PREROUTING",), Direction.EGRESS: ("POSTROUTING",)},
    opening=OPENING,
    rejects=False,
)
FILTER = HookPoints(
    table="filter",
    hooks={Direction.INGRESS: ("INPUT", "FORWARD"), Direction.EGRESS: ("OUTPUT", "FORWARD")},
    opening=OPENING_TRANSLATED,
    rejects=True,
)
TABLES = (MANGLE.table, FILTER.table)
"""Every table that something of ours may be in."""
