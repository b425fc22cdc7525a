"""A packet on its way through the tables of one pod, in the words of policies."""

from collections.abc import Iterable, Mapping
from typing import Final

from attrs import field

from mnp_core.classes import define
from mnp_core.model import Family, ObjectName, Protocol, RulePlace
from mnp_core.netfilter.headers import Headers, parse_headers
from mnp_core.netfilter.messages import NFPROTO, NFPROTO_BRIDGE
from mnp_core.netfilter.tracing import TABLE, Step, StepKind
from mnp_core.node.status.protocol import Item

_MOST_STEPS: Final = 200  # of one packet
_FAMILIES: Final[Mapping[int, Family]] = {number: family for family, number in NFPROTO.items()}
_TRANSPORT: Final = 12  # bytes of the transport header
_DENIED: Final = "denied"  # the label, see `mnp_core.model.RuleCounter`

Key = tuple[int, str, str, int]
"""NFPROTO_… of the table (0 for both IP versions), table, chain, and number of the rule."""


def by_place(places: Iterable[RulePlace]) -> dict[Key, RulePlace]:
    """Rules by their places: by handle in nf_tables, by position in legacy tables."""
    return {_key(place): place for place in places}


def _key(place: RulePlace) -> Key:
    family = NFPROTO[place.family] if place.family is not None else 0
    if place.bridged:
        family = NFPROTO_BRIDGE
    return family, place.table, place.chain, place.handle or place.position


def identity(packet: bytes) -> bytes:
    """Ports and sequence number, or ICMP's identifier: the same at each step, whichever tables tell of it."""
    start = 40 if packet[0] >> 4 == 6 else 4 * (packet[0] & 0xF)
    return packet[start : start + _TRANSPORT]


@define
class TracedPacket:
    """One packet in one pod.

    Attributes:
        pod: The pod.
        rules: Ours in it; None if the backend's rules have no steps: then a packet that passes may be denied by them.
        last: Time of the last step.
        headers: Of the packet; None until a step has them.
        steps: So far, those of the tracing itself left out.
    """

    pod: ObjectName
    rules: Mapping[Key, RulePlace] | None
    last: float
    headers: Headers | None = None
    steps: list[Step] = field(factory=list)

    def add(self, step: Step, now: float) -> None:
        """Take another step."""
        self.last = now
        if self.headers is None and step.packet_bytes:
            self.headers = parse_headers(step.packet_bytes)
        if not step.table.startswith(TABLE) and len(self.steps) < _MOST_STEPS:
            self.steps.append(step)

    @property
    def is_denied(self) -> bool:
        """Whether a rule, of whomever, has ended it: legacy tables do not tell the verdict, and ours say it."""
        return any(step.verdict == "drop" for step in self.steps) or (
            bool(self.steps) and self._label(self.steps[-1]) == _DENIED
        )

    def as_json(self) -> Item:
        """For JSON."""
        return {
            "pod": str(self.pod),
            **_headers_json(self.headers),
            "verdict": "denied" if self.is_denied else "unknown" if self.rules is None else "allowed",
            "steps": [self._step_json(step) for step in self.steps],
        }

    def _label(self, step: Step) -> str:
        place = self._place(step)
        return place.label if place is not None else ""

    def _place(self, step: Step) -> RulePlace | None:
        if step.kind is not StepKind.RULE or self.rules is None:
            return None
        number = step.handle or step.position
        families = {NFPROTO_BRIDGE: (NFPROTO_BRIDGE,), **{each: (each, 0) for each in _FAMILIES}}.get(step.family, (0,))
        rules = self.rules
        found = (rules.get((family, step.table, step.chain, number)) for family in families)
        return next((place for place in found if place is not None), None)

    def _step_json(self, step: Step) -> Item:
        place = self._place(step)
        return {
            "table": step.table,
            "chain": step.chain,
            "step": step.kind.name.lower(),
            "number": step.handle or step.position or None,
            "ours": place is not None,
            "interface": place.interface if place is not None else "",
            "direction": place.direction if place is not None else "",
            "rule": place.label if place is not None else "",
            "verdict": step.verdict,
        }


def _headers_json(headers: Headers | None) -> Item:
    if headers is None:
        return dict.fromkeys(("source", "source-port", "destination", "port", "protocol", "flags"))
    known = {protocol.value: protocol.name for protocol in Protocol}
    return {
        "source": str(headers.source),
        "source-port": headers.source_port,
        "destination": str(headers.target),
        "port": headers.target_port,
        "protocol": known.get(headers.protocol, str(headers.protocol)),
        "flags": list(headers.flags) if headers.flags is not None else None,
    }
