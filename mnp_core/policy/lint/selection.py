"""Selectors and networks that lead to nobody."""

from collections.abc import Iterator

from mnp_core.model import Direction, ObjectName, PodPeer, Policy
from mnp_core.policy.lint import rules
from mnp_core.policy.lint.place import PEERS, POLICY_FOR, found, listed, rule_field
from mnp_core.policy.lint.rule import Finding
from mnp_core.policy.lint.snapshot import Snapshot


def check(policy: Policy, snapshot: Snapshot) -> Iterator[Finding]:
    """Find networks without pods, a policy that selects nothing, and peers that match nobody."""
    if policy.scope.networks is None:
        return
    networks = {name for name in policy.scope.networks if name in snapshot.networks}
    if not networks:  # reported as unknown
        return
    empty = {name for name in networks if not snapshot.pods_on.get(name)}
    if snapshot.is_known(policy.namespace):
        yield from _without_pods(policy, sorted(empty - snapshot.defaults))
        yield from _selecting_nothing(policy, networks - empty, snapshot)
    if empty != networks:
        yield from _peers(policy, networks, snapshot)


def _without_pods(policy: Policy, empty: list[ObjectName]) -> Iterator[Finding]:
    for network in empty:
        yield found(
            rules.NETWORK_ON_NO_POD,
            policy,
            POLICY_FOR,
            f"no pod is attached to {network}: the policy does nothing there",
        )


def _selecting_nothing(policy: Policy, networks: set[ObjectName], snapshot: Snapshot) -> Iterator[Finding]:
    pods = snapshot.selected(policy.namespace, policy.pod_selector)
    if not pods:
        message = f"no pod in namespace {policy.namespace} matches: the policy selects nothing"
        yield found(rules.SELECTS_NOTHING, policy, "spec.podSelector", message)
    elif networks and pods.isdisjoint(snapshot.on_any(networks)):
        message = f"none of the selected pods ({listed(pods)}) is attached to {listed(networks)}: nothing is isolated"
        yield found(rules.SELECTS_NOTHING, policy, POLICY_FOR, message)


def _peers(policy: Policy, networks: set[ObjectName], snapshot: Snapshot) -> Iterator[Finding]:
    on_networks = snapshot.on_any(networks)
    for direction in Direction:
        for rule in policy.rules(direction) or ():
            for position, peer in enumerate(rule.peers if isinstance(rule.peers, tuple) else ()):
                if isinstance(peer, PodPeer) and (message := _mismatch(peer, on_networks, networks, snapshot)):
                    place = f"{rule_field(direction, rule)}.{PEERS[direction]}[{position}]"
                    yield found(rules.PEER_MATCHES_NOBODY, policy, place, message)


def _mismatch(peer: PodPeer, on_networks: frozenset[ObjectName], networks: set[ObjectName], snapshot: Snapshot) -> str:
    """Why a peer matches nobody, or nothing."""
    if peer.pod_selector.never or (peer.namespace_selector is not None and peer.namespace_selector.never):
        return ""  # reported as a selector
    namespaces = snapshot.namespaces_of(peer)
    if not namespaces:
        return "no namespace matches: the peer is nobody" if snapshot.complete else ""
    some = [pods for name in namespaces if (pods := snapshot.selected(name, peer.pod_selector))]
    if any(not pods.isdisjoint(on_networks) for pods in some):
        return ""
    if some:
        pods = frozenset().union(*some)
        return (
            f"none of the pods that match ({listed(pods)}) is attached to {listed(networks)}, the networks of the"
            " policy: the peer is nobody"
        )
    if not all(map(snapshot.is_known, namespaces)):
        return ""
    return f"no pod in {listed(namespaces)} matches: the peer is nobody"
