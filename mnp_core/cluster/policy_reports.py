"""Reports about networks that policies name, kept up to date as policies and networks come and go."""

from collections.abc import Collection, Mapping

from mnp_core.cluster.active_reports import ActiveReports
from mnp_core.cluster.multimap import Multimap
from mnp_core.model import Network, ObjectName, ObjectRef, Policy
from mnp_core.policy.validate import network_reports


class PolicyReports:
    """Reports about policies that name networks on which nothing is enforced. The cost follows the change."""

    def __init__(
        self, networks: Mapping[ObjectName, Network], claimed: Collection[str], standing: ActiveReports
    ) -> None:
        """Start without policies.

        Args:
            networks: A live view of all network attachment definitions; `network_changed` announces its changes.
            claimed: The CNI types that are enforced.
            standing: The destination of the reports.
        """
        self._networks = networks
        self._claimed = claimed
        self._policies: dict[ObjectRef, Policy] = {}
        self._by_network: Multimap[ObjectName, ObjectRef] = Multimap()
        self._standing = standing

    def put_policy(self, ref: ObjectRef, policy: Policy | None) -> None:
        """Replace a policy; None removes it."""
        for name in _named(self._policies.pop(ref, None)):
            self._by_network.discard(name, ref)
        if policy is not None:
            self._policies[ref] = policy
        for name in _named(policy):
            self._by_network.add(name, ref)
        self._refresh(ref)

    def network_changed(self, name: ObjectName) -> None:
        """Refresh the reports of policies that name a network."""
        for ref in self._by_network[name]:
            self._refresh(ref)

    def _refresh(self, ref: ObjectRef) -> None:
        policy = self._policies.get(ref)
        reports = network_reports(policy, self._networks, self._claimed) if policy is not None else ()
        self._standing.put(("networks", ref), reports)


def _named(policy: Policy | None) -> frozenset[ObjectName]:
    return (policy.scope.networks if policy is not None else None) or frozenset()
