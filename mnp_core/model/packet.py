"""The first packet of a connection, and its verdict."""

from mnp_core.classes import frozen
from mnp_core.model.address import Address
from mnp_core.model.names import ObjectRef
from mnp_core.model.port import Protocol
from mnp_core.model.rules import Origin


@frozen(kw_only=True)
class Packet:
    """The first packet of a flow, as it is on the wire of the enforced interface.

    Attributes:
        source: Source address.
        destination: Destination address, same family.
        protocol: IP protocol number; `Protocol` for those that have a name.
        port: Destination port, for TCP, UDP and SCTP.
        icmp_type: For ICMP and ICMPv6.
        hop_limit: IPv6 hop limit or IPv4 TTL.
    """

    source: Address
    destination: Address
    protocol: int
    port: int | None = None
    icmp_type: int | None = None
    hop_limit: int = 64

    def __str__(self) -> str:
        try:
            protocol = Protocol(self.protocol).name
        except ValueError:
            protocol = f"protocol {self.protocol}"
        port = "" if self.port is None else f"/{self.port}"
        return f"{self.source} -> {self.destination} {protocol}{port}"


@frozen(kw_only=True)
class Verdict:
    """The verdict on a packet in one direction of one interface.

    Attributes:
        allowed: Whether it passes.
        origin: The rule that allows it; None if it is denied, the direction is open or a setting allows it. In audit
            mode the rule that would allow it, likewise the setting.
        setting: The setting or built-in rule that allows it (``accept-icmp``, ``neighbour-discovery`` …), or empty.
        policies: Who isolates the direction; empty if it is open.
        audits: Policies in audit mode that select the direction, too.
        would_deny: Whether it passes only because no policy isolates the direction but those in audit mode (S72).
    """

    allowed: bool
    origin: Origin | None = None
    setting: str = ""
    policies: tuple[ObjectRef, ...] = ()
    audits: tuple[ObjectRef, ...] = ()
    would_deny: bool = False
