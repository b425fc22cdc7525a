"""Destinations that egress rules cut off, hardly on purpose: name servers, and everything behind a gateway.

A policy is about secondary networks alone: a name server counts only where the route to it leads through the
interface. Egress that allows nothing at all is meant so.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import ip_address

from mnp_core.classes import frozen
from mnp_core.model import (
    Address,
    AddressGroup,
    Allow,
    AllowEndpoints,
    AnyPeer,
    Attachment,
    Audited,
    Block,
    Cidr,
    Direction,
    EndpointGroup,
    Isolated,
    ObjectName,
    ObjectRef,
    Packet,
    Protocol,
    SandboxPolicy,
)
from mnp_core.model.address import address_ranges, covers
from mnp_core.policy.evaluate import evaluate
from mnp_core.policy.lint import rules
from mnp_core.policy.lint.place import listed
from mnp_core.policy.lint.rule import Finding, Rule
from mnp_core.policy.lint.snapshot import NetworkFacts, Snapshot

_DNS = 53
_UNSPECIFIED = {4: ip_address("0.0.0.0"), 6: ip_address("::")}  # noqa: S104 # the source of a question, nothing listens


@frozen(kw_only=True)
class _Cut:
    """Something that policies cut off, or would if they were enforced."""

    rule: Rule
    policies: tuple[ObjectRef, ...]
    network: ObjectName
    thing: str
    audited: bool


def check(snapshot: Snapshot) -> Iterator[Finding]:
    """Find what is cut off from the pods of a cluster; each once for the policies that do it."""
    pods: dict[_Cut, list[ObjectName]] = defaultdict(list)
    for name, attachments in snapshot.attachments.items():
        if any(_leads_anywhere(snapshot, attachment) for attachment in attachments):
            sandbox = snapshot.sandbox(name)
            for cut in _cuts(sandbox, attachments, snapshot) if sandbox is not None else ():
                pods[cut].append(name)
    for cut, names in pods.items():
        yield _finding(cut, names)


def _leads_anywhere(snapshot: Snapshot, attachment: Attachment) -> bool:
    facts = snapshot.facts.get(attachment.network)
    return facts is not None and bool(
        facts.routes or facts.nameservers or (snapshot.nameservers.get(attachment.pod) and facts.subnets)
    )


def _cuts(sandbox: SandboxPolicy, attachments: Iterable[Attachment], snapshot: Snapshot) -> Iterator[_Cut]:
    egress = {policy.interface: policy.egress for policy in sandbox.interfaces}
    for attachment in attachments:
        isolated, facts = egress.get(attachment.interface), snapshot.facts.get(attachment.network)
        if not isinstance(isolated, Isolated | Audited) or not isolated.allows or facts is None:
            continue
        servers = {*facts.nameservers, *snapshot.nameservers.get(attachment.pod, ())}
        for server in sorted(servers, key=lambda each: (each.version, int(each))):
            if _is_behind(server, facts) and not _allows_dns(sandbox, attachment, server):
                yield _cut(rules.DNS_CUT_OFF, isolated, attachment.network, server)
        for route in facts.routes:
            if not _allows_some(sandbox, isolated, route, facts.subnets):
                yield _cut(rules.GATEWAY_CUT_OFF, isolated, attachment.network, route)


def _cut(rule: Rule, isolated: Isolated | Audited, network: ObjectName, thing: Address | Cidr) -> _Cut:
    is_audited = isinstance(isolated, Audited)
    return _Cut(rule=rule, policies=isolated.policies, network=network, thing=str(thing), audited=is_audited)


def _is_behind(server: Address, facts: NetworkFacts) -> bool:
    return any(server in block for block in (*facts.subnets, *facts.routes))


def _allows_dns(sandbox: SandboxPolicy, attachment: Attachment, server: Address) -> bool:
    if server in attachment.addresses:  # by lo (S44)
        return True
    own = next((each for each in attachment.addresses if each.version == server.version), _UNSPECIFIED[server.version])
    packet = Packet(source=own, destination=server, protocol=Protocol.UDP, port=_DNS)
    verdict = evaluate(sandbox, attachment.interface, Direction.EGRESS, packet)
    return verdict.allowed and not verdict.would_deny


def _allows_some(sandbox: SandboxPolicy, isolated: Isolated | Audited, route: Cidr, subnets: Iterable[Cidr]) -> bool:
    """Whether some address of a route outside of the network's subnets is allowed on some port."""
    near = [subnet for subnet in subnets if subnet.version == route.version]
    if any(covers(subnet, route) for subnet in near):
        return True
    if any(_meets(Block(cidr=each), route, near) for each in sandbox.common.allow_dst_prefixes):
        return True
    return any(_reaches(allow, sandbox.groups, route, near) for allow in isolated.allows)


def _reaches(allow: Allow | AllowEndpoints, groups: Mapping[str, object], route: Cidr, near: list[Cidr]) -> bool:
    if isinstance(allow, AllowEndpoints):
        return _has_member(groups.get(allow.group), route, near)
    if isinstance(allow.peers, AnyPeer):
        return True
    return any(_meets(block, route, near) for block in allow.peers.blocks) or any(
        _has_member(groups.get(identity), route, near) for identity in allow.peers.groups
    )


def _has_member(group: object, route: Cidr, near: list[Cidr]) -> bool:
    if isinstance(group, AddressGroup):
        addresses: Iterable[Address] = group.members
    elif isinstance(group, EndpointGroup):
        addresses = (member.address for member in group.members)
    else:
        return False
    return any(address in route and not any(address in subnet for subnet in near) for address in addresses)


def _meets(block: Block, route: Cidr, near: list[Cidr]) -> bool:
    """Whether a block has an address of the route that is not near."""
    if block.cidr.version != route.version:
        return False
    far = Block(cidr=block.cidr, excepts=(*block.excepts, *(s for s in near if s.overlaps(block.cidr))))
    first, last = int(route.network_address), int(route.broadcast_address)
    family = route.version
    return any(int(part.first) <= last and first <= int(part.last) for part in address_ranges([far], family))


def _finding(cut: _Cut, pods: list[ObjectName]) -> Finding:
    others = f", together with {listed(cut.policies[1:])}" if len(cut.policies) > 1 else ""
    effect = (
        f"no rule allows egress to the name server {cut.thing} on {cut.network}"
        if cut.rule is rules.DNS_CUT_OFF
        else f"no rule allows egress to any address of {cut.thing}, to which {cut.network} has a route"
    )
    return Finding(
        about=cut.policies[0],
        field="spec.egress",
        rule=cut.rule,
        message=f"{effect}: it {'would be' if cut.audited else 'is'} cut off from {listed(pods)}{others}",
        remedy=cut.rule.remedy,
        level=cut.rule.level,
    )
