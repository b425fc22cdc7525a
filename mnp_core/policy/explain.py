"""Why one pod reaches another or does not: which policies stand on each side, and which rule decides.

It puts the result of `evaluate` into words and JSON and adds nothing: it is right exactly when that is.
"""

from mnp_core.classes import frozen
from mnp_core.model import Address, Attachment, Direction, ObjectName, ObjectRef, Origin, Packet, Verdict
from mnp_core.policy.ends import (
    JUDGED,
    Flow,
    Host,
    Place,
    Standing,
    Wires,
    connected,
    has_custom_rules,
    judged,
    places,
    senders,
    wire_of,
)


@frozen(kw_only=True)
class Side:
    """One end of a flow and its verdict: egress at the source, ingress at the destination.

    Attributes:
        direction: As this end sees it.
        address: Its address.
        attachment: The interface that has the address; None outside of the cluster.
        standing: See Standing.
        verdict: The result of `evaluate`.
        custom: Whether custom rules of the node come before it, which only a packet can ask.
    """

    direction: Direction
    address: Address
    attachment: Attachment | None
    standing: Standing
    verdict: Verdict
    custom: bool = False

    def __str__(self) -> str:
        if self.attachment is None:
            return str(self.address)
        return f"{self.attachment.pod} ({self.attachment.interface}, {self.address})"

    def as_json(self) -> dict[str, object]:
        """For JSON; `rule` or `setting` is the one that allows it under isolation, or would (audit mode)."""
        origin = self.verdict.origin
        return {
            "interface": self.attachment.interface if self.attachment else None,
            "address": str(self.address),
            "standing": self.standing.value,
            "verdict": _word(allowed=self.verdict.allowed),
            "would-deny": self.verdict.would_deny,
            "policies": [str(policy) for policy in self.verdict.policies],
            "audit-policies": [str(policy) for policy in self.verdict.audits],
            "rule": _rule_json(origin) if origin else None,
            "setting": self.verdict.setting or None,
            "custom-rules": self.custom,
        }


@frozen(kw_only=True)
class Explanation:
    """The verdict on one flow between two addresses on one network."""

    flow: Flow
    source: Side
    destination: Side

    @property
    def allowed(self) -> bool:
        """Whether both ends let it pass."""
        return self.source.verdict.allowed and self.destination.verdict.allowed

    @property
    def would_deny(self) -> bool:
        """Whether it passes, and policies in audit mode would deny it."""
        return self.allowed and (self.source.verdict.would_deny or self.destination.verdict.would_deny)

    @property
    def network(self) -> ObjectName | None:
        """The network that it runs on, of the end that is in the cluster."""
        attachment = self.destination.attachment or self.source.attachment
        return attachment.network if attachment else None

    def as_json(self) -> dict[str, object]:
        """A probe as `mnp lab` writes it, with the reasons; interface and address are the destination's.

        For a destination outside of the cluster, the interface is the one that the flow leaves by.
        """
        attachment = self.destination.attachment or self.source.attachment
        return {
            "from": _party(self.source),
            "to": _party(self.destination),
            "network": str(self.network),
            "interface": attachment.interface if attachment else None,
            "address": str(self.destination.address),
            "protocol": self.flow.protocol.name,
            "port": self.flow.port,
            "verdict": _word(allowed=self.allowed),
            "would-deny": self.would_deny,
            "egress": self.source.as_json(),
            "ingress": self.destination.as_json(),
        }


def explain(
    source: Host | Address, destination: Host | Address, flow: Flow, wires: Wires | None = None
) -> tuple[Explanation, ...]:
    """Explain a flow on every way that it can take.

    A way is a wire that both ends are attached to, and an address of the destination on it; a pod sends from the
    first address of that family on its interface. An end outside of the cluster can be reached from every network.
    Without a common wire and family there is no way, and nothing to explain: see `obstacles`.
    """
    return tuple(
        _explanation(source, sender, destination, receiver, flow)
        for sender in senders(source)
        for receiver in places(destination)
        if connected(sender, receiver, wires or {})
    )


def obstacles(source: Host | Address, destination: Host | Address, wires: Wires | None = None) -> tuple[str, ...]:
    """The reason why networks of both ends have no verdict: no known address.

    Without one, no packet can be judged: a selector matches none, and a block or any-peer rule may match.
    """
    if not isinstance(source, Host) or not isinstance(destination, Host):
        return ()
    found: dict[str, str] = {}
    for ours in source.attachments:
        for theirs in destination.attachments:
            wire = wire_of(theirs.network, wires or {})
            itself = source.pod == destination.pod and ours != theirs  # of a pod's own wires one way is enough
            if wire == wire_of(ours.network, wires or {}) and not itself and (obstacle := _obstacle(ours, theirs)):
                found.setdefault(wire, obstacle)
    return tuple(found.values())


def _obstacle(ours: Attachment, theirs: Attachment) -> str:
    way = _way(theirs.network, ours.network).removeprefix("on ")
    unknown = dict.fromkeys(f"{end.pod} ({end.interface})" for end in (ours, theirs) if not end.addresses)
    if unknown:
        return (
            f"{ours.pod} and {theirs.pod} are both attached to {way}, but no address of {' and of '.join(unknown)} is"
            " known there: rules with selectors match none of its packets, and only rules for any peer or for the"
            " address that it really uses can allow them"
        )
    if {address.version for address in ours.addresses}.isdisjoint(address.version for address in theirs.addresses):
        return f"{ours.pod} and {theirs.pod} are both attached to {way}, but have no address family in common there"
    return ""


def describe(explanation: Explanation) -> str:
    """The explanation in plain words: a line for the flow and one for each end."""
    source = explanation.source.attachment
    place = _way(explanation.network, source.network if source else None)
    way = f"{explanation.source} -> {explanation.destination} {explanation.flow} {place}"
    sides = (explanation.source, explanation.destination)
    verdict = _word(allowed=explanation.allowed) + (f", {WOULD_DENY}" if explanation.would_deny else "")
    return "\n".join((f"{way}: {verdict}", *(f"  {_reason(side)}" for side in sides)))


def _explanation(
    source: Host | Address, sender: Place, destination: Host | Address, receiver: Place, flow: Flow
) -> Explanation:
    packet = flow.packet(sender.address, receiver.address)
    loopback = isinstance(source, Host) and any(place.address == receiver.address for place in places(source))
    return Explanation(
        flow=flow,
        source=_side(source, sender, Direction.EGRESS, packet, loopback=loopback),
        destination=_side(destination, receiver, Direction.INGRESS, packet, loopback=loopback),
    )


def _side(party: Host | Address, place: Place, direction: Direction, packet: Packet, *, loopback: bool) -> Side:
    standing, verdict = Standing.OUTSIDE, Verdict(allowed=True)
    if loopback:
        standing = Standing.LOOPBACK
    elif isinstance(party, Host) and place.attachment is not None:
        standing, verdict = judged(party.sandbox, place.attachment.interface, direction, packet)
    return Side(
        direction=direction,
        address=place.address,
        attachment=place.attachment,
        standing=standing,
        verdict=verdict,
        custom=standing in JUDGED and _has_custom_rules(party, direction, packet),
    )


def _has_custom_rules(party: Host | Address, direction: Direction, packet: Packet) -> bool:
    sandbox = party.sandbox if isinstance(party, Host) else None
    return has_custom_rules(sandbox, direction, packet.source.version)


# --- words ------------------------------------------------------------------------------------------------------


def _way(network: ObjectName | None, other: ObjectName | None) -> str:
    """On which network, or on which two that are one wire."""
    return f"on {network}" if other in (None, network) else f"on {network}, one wire with {other}"


def _word(*, allowed: bool) -> str:
    return "allowed" if allowed else "denied"


def _party(side: Side) -> str:
    return str(side.attachment.pod if side.attachment else side.address)


def _rule_json(origin: Origin) -> dict[str, object]:
    return {"policy": str(origin.policy), "direction": origin.direction.value, "index": origin.rule}


WOULD_DENY = "would deny (audit)"
"""The words for a packet that passes only because policies are in audit mode."""

_CUSTOM_LATER = "; once that is enforced, custom rules come first and may decide otherwise"
_CUSTOM = "; custom rules come first and cannot be judged offline: they may decide otherwise"


def _reason(side: Side) -> str:
    """One side in one line."""
    if side.attachment is None:
        return f"{side.address} is outside of the cluster: nothing is enforced there"
    place = f"{side.direction.value.lower()} of {side.attachment.pod} on {side.attachment.interface}"
    match side.standing:
        case Standing.LOOPBACK:
            return f"{place}: allowed, a pod's own address is reached through lo, which is never filtered"
        case Standing.UNENFORCED:
            return f"{place}: allowed, the interface is not enforced (see the reports on the pod)"
        case Standing.ISOLATED:
            isolated = f"isolated by {_names(side.verdict.policies)}{_without_effect(side.verdict)}"
            return f"{place}: {_decided(side.verdict)}; {isolated}{_CUSTOM if side.custom else ''}"
        case Standing.AUDITED:
            would = f"{_would(side.verdict)}; in audit mode: {_names(side.verdict.audits)}"
            return f"{place}: allowed, {would}{_CUSTOM_LATER if side.custom else ''}"
        case _:
            return f"{place}: allowed, no policy isolates it"


def _names(policies: tuple[ObjectRef, ...]) -> str:
    return ", ".join(map(str, policies))


def _without_effect(verdict: Verdict) -> str:
    return f"; in audit mode, without effect here: {_names(verdict.audits)}" if verdict.audits else ""


def _would(verdict: Verdict) -> str:
    if verdict.would_deny:
        return f"{WOULD_DENY}, no rule allows it"
    return f"{f'rule {verdict.origin}' if verdict.origin is not None else verdict.setting} would allow it"


def _decided(verdict: Verdict) -> str:
    if verdict.origin is not None:
        return f"allowed by rule {verdict.origin}"
    return f"allowed by {verdict.setting}" if verdict.allowed else "denied, no rule allows it"
