"""Problems across objects, each of which is valid by itself.

A selector that matches no pod right now is not among it: pods come and go.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

from attrs import field

from mnp_core.classes import frozen
from mnp_core.model import (
    Attachment,
    Direction,
    GroupSpec,
    NamedPort,
    Namespace,
    Network,
    ObjectName,
    Pod,
    PodPeer,
    Policy,
    PolicyRule,
    Reason,
    Report,
)
from mnp_core.policy.attachments import UNENFORCED_REMEDY, Claims, claim_attachments, unenforced_type
from mnp_core.policy.compile import selects
from mnp_core.policy.membership import is_meant, members
from mnp_core.policy.ports import served_ranges

_POLICY_FOR = "metadata.annotations[k8s.v1.cni.cncf.io/policy-for]"


@frozen(kw_only=True)
class Candidate:
    """A pod as it may be selected, or be a peer.

    Attributes:
        pod: The pod.
        claims: Its attachments.
        namespace_labels: The labels of its namespace.
    """

    pod: Pod
    claims: Claims
    namespace_labels: Mapping[str, str] = field(factory=dict)

    def is_in_scope(self, policy: Policy) -> bool:
        """Whether a policy selects one of its enforced interfaces."""
        return selects(policy, self.pod) and any(map(policy.scope.may_cover, self.claims.enforced))

    def is_peer(self, spec: GroupSpec) -> bool:
        """Whether an address of it stands for the peer."""
        return bool(members(spec, self.pod, self.claims.peers, self.namespace_labels))

    def lacks_addresses(self, unleased: Collection[ObjectName]) -> bool:
        """Whether it has an attachment without an address, elsewhere than on these networks."""
        return any(not peer.addresses and peer.network not in unleased for peer in self.claims.peers)

    def meant_attachments(self, spec: GroupSpec) -> tuple[Attachment, ...]:
        """The attachments that a peer's selectors mean, with addresses or without."""
        if not isinstance(spec.peer, PodPeer) or not is_meant(spec.peer, self.pod, self.namespace_labels):
            return ()
        return tuple(peer for peer in self.claims.peers if spec.scope.covers(peer))


def validate(
    *,
    policies: Iterable[Policy],
    pods: Iterable[Pod] = (),
    namespaces: Iterable[Namespace] = (),
    networks: Iterable[Network] = (),
    claimed: Collection[str],
    unleased: Collection[ObjectName] = (),
) -> tuple[Report, ...]:
    """Report problems across objects, sorted: networks, CNI types, named ports and selectors that lead nowhere.

    Args:
        policies: All policies.
        pods: All pods.
        namespaces: All namespaces.
        networks: All network attachment definitions.
        claimed: The CNI types that loaded plugins claim (S4).
        unleased: Networks on which attachments have addresses that are not known to the caller.
    """
    definitions = {network.name: network for network in networks}
    labels = {namespace.name: namespace.labels for namespace in namespaces}
    candidates = [
        Candidate(
            pod=pod,
            claims=claim_attachments(pod, definitions, claimed),
            namespace_labels=labels.get(pod.name.namespace, {}),
        )
        for pod in pods
    ]
    bare = [candidate for candidate in candidates if candidate.lacks_addresses(unleased)]
    reports = {report for candidate in candidates for report in candidate.claims.reports}
    for policy in policies:
        reports.update(policy_reports(policy, definitions, claimed, candidates, bare))
    return tuple(sorted(reports))


def policy_reports(
    policy: Policy,
    networks: Mapping[ObjectName, Network],
    claimed: Collection[str],
    candidates: Collection[Candidate],
    bare: Collection[Candidate],
) -> Iterator[Report]:
    """Report problems of one policy with other objects.

    Args:
        policy: The policy.
        networks: All network attachment definitions.
        claimed: The CNI types that are enforced (S4).
        candidates: All pods.
        bare: Those that lack an address.
    """
    yield from network_reports(policy, networks, claimed)
    yield from _port_reports(policy, candidates)
    yield from _address_reports(policy, bare, candidates)


def network_reports(
    policy: Policy, networks: Mapping[ObjectName, Network], claimed: Collection[str]
) -> Iterator[Report]:
    """Report the networks of policy-for on which the policy enforces nothing.

    Args:
        policy: One policy.
        networks: All network attachment definitions.
        claimed: The CNI types that are enforced (S4).
    """
    for name in sorted(policy.scope.networks or ()):
        network = networks.get(name)
        if network is None:
            yield _about_scope(
                policy,
                Reason.UNKNOWN_NETWORK,
                f"there is no network {name}",
                "Name an existing NetworkAttachmentDefinition, as namespace/name if it is in another namespace",
            )
        elif network.cni_types:
            yield from _kind_reports(policy, network, claimed)


def _kind_reports(policy: Policy, network: Network, claimed: Collection[str]) -> Iterator[Report]:
    kind = network.kind(claimed)
    if kind is None:
        yield _about_scope(
            policy,
            Reason.UNCLAIMED_TYPE,
            f"nothing is enforced on {network.name}: {unenforced_type(network, claimed)}",
            UNENFORCED_REMEDY,
        )
    elif policy.scope.kinds is not None and kind not in policy.scope.kinds:
        kinds = ", ".join(sorted(policy.scope.kinds))
        yield _about_scope(
            policy,
            Reason.INVALID_POLICY_FOR,
            f"nothing is enforced on {network.name} by this policy: a {policy.ref.kind} is about attachments of kind"
            f" {kinds}, and these are of kind {kind}",
            "Write a MultiNetworkPolicy for this network",
        )


def _about_scope(policy: Policy, reason: Reason, message: str, remedy: str) -> Report:
    return Report(about=policy.ref, field=_POLICY_FOR, reason=reason, message=message, remedy=remedy)


def _port_reports(policy: Policy, candidates: Collection[Candidate]) -> Iterator[Report]:
    """Named ports that match nothing although there are pods that could serve them (S31)."""
    for direction in Direction:
        for rule in policy.rules(direction) or ():
            for port in _named_ports(rule):
                pods = [candidate.pod for candidate in _servers(policy, direction, rule, candidates)]
                if pods and not any(served_ranges(pod, {port}) for pod in pods):
                    yield _unserved(policy, f"spec.{direction.value.lower()}[{rule.index}].ports", port)


def _address_reports(
    policy: Policy, bare: Collection[Candidate], candidates: Collection[Candidate]
) -> Iterator[Report]:
    """Selectors that match nothing although they match pods.

    Args:
        policy: One policy.
        bare: The candidates with an attachment that has no address.
        candidates: All of them.
    """

    def lacking(peer: PodPeer) -> Collection[ObjectName]:
        spec = GroupSpec(scope=policy.scope, peer=peer)
        meant = [attachment for candidate in bare for attachment in candidate.meant_attachments(spec)]
        if not meant or any(candidate.is_peer(spec) for candidate in candidates):
            return ()
        return {attachment.network for attachment in meant}

    return unaddressed_selectors(policy, lacking)


def unaddressed_selectors(
    policy: Policy, lacking: Callable[[PodPeer], Collection[ObjectName] | None]
) -> Iterator[Report]:
    """Report selectors that match pods and no packet: no address of any of them is known (S21, networks without IPAM).

    Args:
        policy: One policy.
        lacking: The networks on which a peer's pods have attachments without an address; none if any has one.
    """
    for direction, peers in ((Direction.INGRESS, "from"), (Direction.EGRESS, "to")):
        for rule in policy.rules(direction) or ():
            for peer in rule.peers if isinstance(rule.peers, tuple) else ():
                if isinstance(peer, PodPeer) and (networks := lacking(peer)):
                    yield _unaddressed(policy, f"spec.{direction.value.lower()}[{rule.index}].{peers}", networks)


def _unaddressed(policy: Policy, place: str, networks: Collection[ObjectName]) -> Report:
    names = ", ".join(map(str, sorted(networks)))
    return Report(
        about=policy.ref,
        field=place,
        reason=Reason.NO_ADDRESS,
        message=f"no address of any pod that a selector here matches is known on {names}: the selector matches nothing",
        remedy="Write an ipBlock with the addresses that the pods use there, give the network an IPAM, or have those of"
        " virtual machines read (setting guest-addresses)",
    )


def _named_ports(rule: PolicyRule) -> list[NamedPort]:
    return [port for port in rule.ports if isinstance(port, NamedPort)] if isinstance(rule.ports, tuple) else []


def _servers(
    policy: Policy, direction: Direction, rule: PolicyRule, candidates: Collection[Candidate]
) -> Iterator[Candidate]:
    """The pods among whose ports a name is looked up: the selected ones, or, for egress, the peers."""
    if direction is Direction.INGRESS:
        yield from (candidate for candidate in candidates if candidate.is_in_scope(policy))
        return
    peers = rule.peers if isinstance(rule.peers, tuple) else (rule.peers,)
    specs = [GroupSpec(scope=policy.scope, peer=peer) for peer in peers]
    yield from (candidate for candidate in candidates if any(map(candidate.is_peer, specs)))


def _unserved(policy: Policy, place: str, port: NamedPort) -> Report:
    return Report(
        about=policy.ref,
        field=place,
        reason=Reason.UNSERVED_PORT,
        message=f"no pod concerned has a {port.protocol.name} port named {port.name!r}: the entry matches nothing",
        remedy="Use the name and protocol that a container of the destination declares, or a number",
    )
