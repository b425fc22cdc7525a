"""Answers on the flows between many ends.

`explain` judges one flow. Here the same verdict of one side is worked out once: it depends on the rules of the
interface and on the signature of the other end's address, and most pods share both with many others.
"""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence

from mnp_core.classes import frozen
from mnp_core.model import (
    Address,
    Attachment,
    Cidr,
    Direction,
    DirectionPolicy,
    ObjectName,
    SandboxPolicy,
    Verdict,
    parse_cidr,
)
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
from mnp_core.policy.explain import Explanation, Side
from mnp_core.policy.signatures import Numbers, Terms

Party = Host | Address
_At = tuple[Party, Place]
Subnets = Mapping[ObjectName, tuple[Cidr, ...]]
_GUESSED_PREFIX = {4: 24, 6: 64}  # of an address in no known subnet
_NO_RULES = "unenforced"


@frozen
class Judgement:
    """The verdict of one side."""

    standing: Standing
    verdict: Verdict
    custom: bool = False


_OUTSIDE = Judgement(Standing.OUTSIDE, Verdict(allowed=True))
_LOOPBACK = Judgement(Standing.LOOPBACK, Verdict(allowed=True))


class Reachability:
    """Who reaches whom among some ends; answers are those of `explain`."""

    def __init__(self, parties: Iterable[Party], wires: Wires | None = None, subnets: Subnets | None = None) -> None:
        """Take the ends, all that will be asked about.

        Args:
            parties: Pods, and addresses outside of the cluster.
            wires: See `explain`.
            subnets: By network, the subnets that its addresses are in, where that is known.
        """
        parties = list(parties)
        self._wires, self._subnets = wires or {}, subnets or {}
        self._shared = self._subnets_of_shared_wires([each for each in parties if isinstance(each, Host)])
        self._terms = Terms.of(each.sandbox for each in parties if isinstance(each, Host) and each.sandbox is not None)
        self._rules, self._signatures = Numbers(), Numbers()
        self._signature_of: dict[Address, int] = {}
        self._rules_of: dict[tuple[ObjectName, str, Direction], int] = {}
        self._judgements: dict[tuple[Direction, int, int], dict[Flow, Judgement]] = defaultdict(dict)
        self._confused = _confused([each for each in parties if isinstance(each, Host)], self._wires)

    def ways(self, source: Party, destination: Party, flows: Sequence[Flow]) -> Iterator[Explanation]:
        """Explain flows on every way that they can take, as `explain` does.

        Between two networks of one wire packets stay in the sender's subnet: without a router nothing else arrives.
        """
        own = {place.address for place in places(source)} if isinstance(source, Host) else set()
        for flow in flows:
            for sender in senders(source):
                for receiver in places(destination):
                    if connected(sender, receiver, self._wires) and self._is_near(sender, receiver):
                        ends = (source, sender), (destination, receiver)
                        yield self._way(*ends, flow, loopback=receiver.address in own)

    def _way(
        self, source: tuple[Party, Place], destination: tuple[Party, Place], flow: Flow, *, loopback: bool
    ) -> Explanation:
        sent = _LOOPBACK if loopback else self.judgement(*source, Direction.EGRESS, destination[1].address, flow)
        taken = _LOOPBACK if loopback else self.judgement(*destination, Direction.INGRESS, source[1].address, flow)
        return Explanation(
            flow=flow,
            source=_side(source[1], Direction.EGRESS, sent),
            destination=_side(destination[1], Direction.INGRESS, taken),
        )

    def _subnets_of_shared_wires(self, hosts: Iterable[Host]) -> Mapping[str, set[Cidr]]:
        networks: dict[str, set[ObjectName]] = defaultdict(set)
        subnets: dict[str, set[Cidr]] = defaultdict(set)
        for attachment in (attachment for host in hosts for attachment in host.attachments):
            wire = wire_of(attachment.network, self._wires)
            networks[wire].add(attachment.network)
            subnets[wire].update(self._subnet(attachment, address) for address in attachment.addresses)
        return {wire: subnets[wire] for wire, names in networks.items() if len(names) > 1}

    def wire(self, attachment: Attachment) -> str:
        """The wire of an attachment."""
        return wire_of(attachment.network, self._wires)

    def _is_near(self, sender: Place, receiver: Place) -> bool:
        ours, theirs = sender.attachment, receiver.attachment
        if ours is None or theirs is None or ours.network == theirs.network:
            return True
        return receiver.address in self._subnet(ours, sender.address) and receiver.address != sender.address

    def _subnet(self, attachment: Attachment, address: Address) -> Cidr:
        known = self._subnets.get(attachment.network, ())
        return next((subnet for subnet in known if address in subnet), None) or _guessed(address)

    def judgement(self, party: Party, place: Place, direction: Direction, peer: Address, flow: Flow) -> Judgement:
        """The verdict of one side, worked out at the first question of its kind."""
        if not isinstance(party, Host) or place.attachment is None:
            return _OUTSIDE
        rules = self.rules(party, place.attachment.interface, direction)
        known = self._judgements[direction, rules, self.signature(peer)]
        if flow not in known:
            known[flow] = _judge(party.sandbox, place, direction, peer, flow)
        return known[flow]

    def signature(self, address: Address) -> int:
        """The number of an address's signature."""
        if address not in self._signature_of:
            self._signature_of[address] = self._signatures.of(self._terms.signature(address))
        return self._signature_of[address]

    def rules(self, host: Host, interface: str, direction: Direction) -> int:
        """The number of the rules of one direction of an interface; equal rules have one."""
        key = host.pod, interface, direction
        if key not in self._rules_of:
            self._rules_of[key] = self._rules.of((direction, _rules(host.sandbox, interface, direction)))
        return self._rules_of[key]

    def likeness(self, party: Party) -> Hashable:
        """A key that is equal for ends with the same answers to every question.

        Pods on one wire of which one has the other's address are like no other: packets between them do not leave
        the pod (S44).
        """
        if not isinstance(party, Host):
            return self.signature(party)
        return (
            party.pod if party.pod in self._confused else None,
            *(self._likeness(party, each) for each in party.attachments),
        )

    def _likeness(self, host: Host, attachment: Attachment) -> Hashable:
        directions = (self.rules(host, attachment.interface, direction) for direction in Direction)
        signatures = (self.signature(address) for address in attachment.addresses)
        near = (self.nearness(attachment, address) for address in attachment.addresses)
        return (attachment.network, attachment.interface, *directions, tuple(signatures), *near)

    def nearness(self, attachment: Attachment, address: Address) -> tuple[Cidr, frozenset[Cidr]] | None:
        """Its subnet, and those on its wire that it is in; None where no other network is on the wire."""
        others = self._shared.get(wire_of(attachment.network, self._wires))
        if others is None:
            return None
        return self._subnet(attachment, address), frozenset(subnet for subnet in others if address in subnet)


def _guessed(address: Address) -> Cidr:
    return parse_cidr(f"{address}/{_GUESSED_PREFIX[address.version]}")


def _confused(hosts: Iterable[Host], wires: Wires) -> frozenset[ObjectName]:
    """The pods that have, on any interface, an address of another pod on a wire of theirs."""
    attached = {host.pod: {wire_of(each.network, wires) for each in host.attachments} for host in hosts}
    owners: dict[Address, set[ObjectName]] = defaultdict(set)
    used: dict[Address, set[str]] = defaultdict(set)
    for host in hosts:
        for attachment in host.attachments:
            for address in attachment.addresses:
                owners[address].add(host.pod)
                used[address].add(wire_of(attachment.network, wires))
    found: set[ObjectName] = set()
    for address, pods in owners.items():
        for wire in used[address] if len(pods) > 1 else ():
            there = {pod for pod in pods if wire in attached[pod]}
            found |= there if len(there) > 1 else set()
    return frozenset(found)


def _rules(sandbox: SandboxPolicy | None, interface: str, direction: Direction) -> DirectionPolicy | str:
    policies = sandbox.interfaces if sandbox is not None else ()
    return next((policy.of(direction) for policy in policies if policy.interface == interface), _NO_RULES)


def _judge(sandbox: SandboxPolicy | None, place: Place, direction: Direction, peer: Address, flow: Flow) -> Judgement:
    ends = (place.address, peer) if direction is Direction.EGRESS else (peer, place.address)
    interface = place.attachment.interface if place.attachment is not None else ""
    standing, verdict = judged(sandbox, interface, direction, flow.packet(*ends))
    custom = standing in JUDGED and has_custom_rules(sandbox, direction, peer.version)
    return Judgement(standing, verdict, custom)


def _side(place: Place, direction: Direction, judgement: Judgement) -> Side:
    return Side(
        direction=direction,
        address=place.address,
        attachment=place.attachment,
        standing=judgement.standing,
        verdict=judgement.verdict,
        custom=judgement.custom,
    )
