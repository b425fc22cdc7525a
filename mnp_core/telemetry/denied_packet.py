"""A denied packet with its identity: the record of the log, of followers and of `mnp denied`."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from attrs import field

from mnp_core.classes import frozen
from mnp_core.model import Direction, LoggedVerdict, ObjectName, ObjectRef, Protocol
from mnp_core.netfilter.headers import Headers


@frozen(kw_only=True)
class DeniedPacket:
    """One logged packet.

    Attributes:
        time: Seconds since the epoch, when it was read.
        verdict: Its fate.
        pod: The pod whose rules have logged it.
        labels: The pod's.
        networks: The networks of the interface.
        policies: Those that isolate the direction; for a packet that passes, those in audit mode.
        headers: Of the packet.
        peer: The pod with the other address on one of the networks; None if none is known.
        peer_labels: That pod's.
    """

    time: float
    verdict: LoggedVerdict
    pod: ObjectName
    labels: Mapping[str, str] = field(factory=dict)
    interface: str
    networks: Sequence[ObjectName]
    direction: Direction
    policies: Sequence[ObjectRef]
    headers: Headers
    peer: ObjectName | None = None
    peer_labels: Mapping[str, str] = field(factory=dict)


def protocol_name(number: int) -> str:
    """The name of a protocol that policies speak of, in lower case; the number of any other."""
    return Protocol(number).name.lower() if number in set(Protocol) else str(number)


def log_fields(packet: DeniedPacket) -> dict[str, object]:
    """The packet as fields of a log line: lists with commas, empty ones left out."""
    joined = ((name, ",".join(value) if isinstance(value, list) else value) for name, value in _fields(packet).items())
    return {name: value for name, value in joined if value != ""}


def _fields(packet: DeniedPacket) -> dict[str, object]:
    """All fields that the packet has."""
    headers = packet.headers
    fields: dict[str, object] = {
        "verdict": packet.verdict.value,
        "pod": str(packet.pod),
        "interface": packet.interface,
        "networks": list(map(str, packet.networks)),
        "direction": packet.direction.value.lower(),
        "policies": list(map(str, packet.policies)),
        "protocol": protocol_name(headers.protocol),
        "source": str(headers.source),
        "source_port": headers.source_port,
        "destination": str(headers.target),
        "destination_port": headers.target_port,
        "tcp_flags": list(headers.flags) if headers.flags is not None else None,
        "icmp_type": headers.kind,
        "icmp_code": headers.code,
        "length": headers.length,
        "opens_flow": headers.opens,
        "peer": str(packet.peer) if packet.peer is not None else None,
    }
    return {name: value for name, value in fields.items() if value is not None}


def as_record(packet: DeniedPacket) -> dict[str, object]:
    """The packet as an object of JSON: its fields, the time, and the labels of both pods."""
    time = datetime.fromtimestamp(packet.time, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    labels = {"labels": dict(packet.labels), "peer_labels": dict(packet.peer_labels)}
    return {"time": time, **_fields(packet), **labels}
