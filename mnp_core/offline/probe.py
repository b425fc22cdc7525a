"""Probes between two pods, and their results."""

import re
from enum import StrEnum

from mnp_core.classes import frozen
from mnp_core.errors import InputError
from mnp_core.model import Address, ObjectName, Protocol

_SPEC = re.compile(r"(?i:(?P<protocol>tcp|udp|sctp)[:/](?P<port>\d{1,5})|(?P<icmp>icmp))")


class ProbeVerdict(StrEnum):
    """The result of a probe."""

    ALLOWED = "allowed"  # an answer came back
    DENIED = "denied"  # no answer, or ICMP administratively prohibited
    WOULD_DENY = "would deny (audit)"  # it passes, as policies in audit mode let it; offline answers alone tell
    REFUSED = "refused"  # it got through to a closed port: TCP RST, port unreachable, SCTP ABORT
    ERROR = "error"  # it could not be asked


@frozen(kw_only=True, order=True)
class ProbeSpec:
    """Protocol and port; ICMP, which stands for both families' echo, has none."""

    protocol: Protocol
    port: int | None = None

    def __str__(self) -> str:
        name = self.protocol.name.lower()
        return name if self.port is None else f"{name}:{self.port}"


@frozen(kw_only=True)
class Probe:
    """One question: does this reach that?

    Attributes:
        source: The pod that asks.
        source_interface: Its interface on the network.
        source_address: Of that interface, and of the packet.
        destination: The pod that is asked.
        network: The destination's network; the source is on it too, or on another one of the same wire.
        interface: The destination's.
        address: The destination's, same family.
        protocol: TCP, UDP, SCTP, or ICMP for echo of either family.
        port: Destination port; None for ICMP.
    """

    source: ObjectName
    source_interface: str
    source_address: Address
    destination: ObjectName
    network: ObjectName
    interface: str
    address: Address
    protocol: Protocol
    port: int | None = None

    @property
    def spec(self) -> ProbeSpec:
        """Protocol and port."""
        return ProbeSpec(protocol=self.protocol, port=self.port)

    def __str__(self) -> str:
        return f"{self.source} -> {self.destination} ({self.address}) {self.spec}"


@frozen(kw_only=True)
class ProbeResult:
    """The answer.

    Attributes:
        probe: The question.
        verdict: See ProbeVerdict.
        seconds: Until it was known.
        detail: How it is known, where that is not obvious; may be empty.
    """

    probe: Probe
    verdict: ProbeVerdict
    seconds: float = 0.0
    detail: str = ""

    def as_json(self) -> dict[str, object]:
        """One element of ``probes`` in the output of `mnp lab`."""
        probe = self.probe
        answer: dict[str, object] = {
            "from": str(probe.source),
            "to": str(probe.destination),
            "network": str(probe.network),
            "interface": probe.interface,
            "address": str(probe.address),
            "protocol": probe.protocol.name,
            "port": probe.port,
            "verdict": self.verdict.value,
        }
        return answer | {"detail": self.detail} if self.detail else answer


DEFAULT_SPEC = ProbeSpec(protocol=Protocol.TCP, port=80)
"""Probed where a destination declares no container port."""


def parse_probe(text: str) -> ProbeSpec:
    """Read ``tcp:80``, ``udp:53``, ``sctp:99`` or ``icmp``.

    Raises:
        InputError: It is something else.
    """
    match = _SPEC.fullmatch(text.strip())
    if match is None:
        raise InputError(f"{text[:80]!r} is not a probe: write tcp:80, udp:53, sctp:99 or icmp")
    if match["icmp"]:
        return ProbeSpec(protocol=Protocol.ICMP)
    port = int(match["port"])
    if not 1 <= port <= 65535:
        raise InputError(f"{text[:80]!r} is not a probe: ports are 1 to 65535")
    return ProbeSpec(protocol=Protocol[match["protocol"].upper()], port=port)
