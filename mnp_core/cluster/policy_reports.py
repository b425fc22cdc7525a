"""What is wrong with the networks that policies name, kept up to date as policies and networks come and go."""

from collections import defaultdict
from collections.abc import Collection, Mapping

from mnp_core.cluster.active_reports import ActiveReports
from mnp_core.model import Network, ObjectName, ObjectRef, Policy
from mnp_core.policy.validate import network_reports


class PolicyReports:
    """Reports about policies that name networks on which nothing is enforced. The cost follows the change."""

    def __init__(
        self, networks: Mapping[ObjectName, Network], claimed: Collection[str], standing: ActiveReports
    ) -> None:
        """Start without policies.

        Args:
            networks: All network attachment definitions; the caller changes it and says so.
            claimed: The CNI types that are policed.
            standing: Where reports are put.
        """
        self._networks = networks
        self._claimed = claimed
        self._policies: dict[ObjectRef, Policy] = {}
        self._naming: dict[ObjectName, set[ObjectRef]] = defaultdict(set)
        self._standing = standing

    def put_policy(self, ref: ObjectRef, policy: Policy | None) -> None:
        """Take in the present state of a policy, None if it is gone."""
        before = self._policies.pop(ref, None)
        for name in _named(before):
            self._naming[name].discard(ref)
        if policy is not None:
            self._policies[ref] = policy
        for name in _named(policy):
            self._naming[name].add(ref)
        self._look_at(ref)

    def network_changed(self, name: ObjectName) -> None:
        """Look again at the policies that name a network."""
        for ref in self._naming.get(name, ()):
            self._look_at(ref)

    def _look_at(self, ref: ObjectRef) -> None:
        policy = self._policies.get(ref)
        reports = network_reports(policy, self._networks, self._claimed) if policy is not None else ()
        self._standing.put(("scope", ref), reports)


def _named(policy: Policy | None) -> frozenset[ObjectName]:
    return (policy.scope.networks if policy is not None else None) or frozenset()
