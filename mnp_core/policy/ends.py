"""The two ends of a flow: pods with their attachments, and addresses outside of the cluster."""

from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum

from mnp_core.classes import frozen
from mnp_core.model import (
    Address,
    Attachment,
    Direction,
    Family,
    ObjectName,
    Packet,
    Protocol,
    SandboxPolicy,
    Verdict,
)
from mnp_core.policy.evaluate import evaluate

_ECHO_REQUEST, _ECHO_REQUEST_V6 = 8, 128  # RFC 792, RFC 4443


@frozen(kw_only=True)
class Host:
    """A pod as one end of a flow.

    Attributes:
        pod: Its name.
        attachments: All that it has (`Claims.peers`), enforced or not.
        sandbox: Its rules; None if no interface is enforced.
    """

    pod: ObjectName
    attachments: tuple[Attachment, ...]
    sandbox: SandboxPolicy | None = None


@frozen(kw_only=True)
class Flow:
    """The traffic in question.

    Attributes:
        protocol: ICMP stands for an echo request in the protocol of the addresses' family.
        port: Destination port, for protocols that have ports.
    """

    protocol: Protocol
    port: int | None = None

    def packet(self, source: Address, destination: Address) -> Packet:
        """Its first packet."""
        if self.protocol not in {Protocol.ICMP, Protocol.ICMPV6}:
            return Packet(source=source, destination=destination, protocol=self.protocol, port=self.port)
        echo = (Protocol.ICMP, _ECHO_REQUEST) if source.version == 4 else (Protocol.ICMPV6, _ECHO_REQUEST_V6)
        return Packet(source=source, destination=destination, protocol=echo[0], icmp_type=echo[1])

    def __str__(self) -> str:
        return self.protocol.name if self.port is None else f"{self.protocol.name}/{self.port}"


class Standing(StrEnum):
    """The basis of a side's verdict."""

    OUTSIDE = "outside"  # an address that is no pod's: nothing is enforced there
    LOOPBACK = "loopback"  # a pod and its own address: it goes through `lo` (S44)
    UNENFORCED = "unenforced"  # an interface that cannot be enforced; there is a report about the pod (S64)
    OPEN = "open"  # no policy isolates this direction of the interface (S10)
    AUDITED = "audited"  # only policies in audit mode isolate it: everything passes, and denials are counted (S72)
    ISOLATED = "isolated"  # only traffic that some rule allows passes (S11)


JUDGED = frozenset({Standing.AUDITED, Standing.ISOLATED})
"""The bases of verdicts by the rules of policies."""

Wires = Mapping[ObjectName, str]
"""By network, the layer 2 that its attachments are on; a network that is missing has one of its own."""


@frozen
class Place:
    """An address, and the interface that has it; None outside of the cluster."""

    address: Address
    attachment: Attachment | None


def places(party: Host | Address) -> Iterator[Place]:
    """The addresses of an end, where it receives."""
    if not isinstance(party, Host):
        yield Place(party, None)
        return
    for attachment in party.attachments:
        for address in attachment.addresses:
            yield Place(address, attachment)


def senders(party: Host | Address) -> Iterable[Place]:
    """One place for each interface and family: a pod sends from its first address."""
    found: dict[tuple[Attachment | None, int], Place] = {}
    for place in places(party):
        found.setdefault((place.attachment, place.address.version), place)
    return found.values()


def connected(sender: Place, receiver: Place, wires: Wires) -> bool:
    """Whether they share a family and a wire; an end outside of the cluster can be reached from every network."""
    if sender.address.version != receiver.address.version:
        return False
    if sender.attachment is None or receiver.attachment is None:
        return sender.attachment is not receiver.attachment
    return wire_of(sender.attachment.network, wires) == wire_of(receiver.attachment.network, wires)


def wire_of(network: ObjectName, wires: Wires) -> str:
    """The wire of a network."""
    return wires.get(network, str(network))


def judged(
    sandbox: SandboxPolicy | None, interface: str, direction: Direction, packet: Packet
) -> tuple[Standing, Verdict]:
    """The verdict of a pod's rules on one direction of an interface."""
    if sandbox is None or all(policy.interface != interface for policy in sandbox.interfaces):
        return Standing.UNENFORCED, Verdict(allowed=True)
    verdict = evaluate(sandbox, interface, direction, packet)
    if verdict.policies:
        return Standing.ISOLATED, verdict
    return Standing.AUDITED if verdict.audits else Standing.OPEN, verdict


def has_custom_rules(sandbox: SandboxPolicy | None, direction: Direction, family: Family) -> bool:
    """Whether the node's own rules come before the policies' there (settings ``custom-v*-rule-file``)."""
    custom = sandbox.common.custom if sandbox is not None else ()
    return any(rules.direction is direction and rules.family == family for rules in custom)
