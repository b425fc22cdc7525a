"""The project's own opinion: manifests through parser, ClusterState and compiler, then `evaluate`.

Each state is reached from the one before by changes, and the evaluated rules are those that an agent would write:
sandboxes that an `Affected` names are compiled anew, groups that it names are replaced, everything else stays. So a
change that the cluster state overlooks is a wrong answer here (S61).
"""

from collections.abc import Iterable
from ipaddress import ip_address

from mnp_core.cluster import Affected, ClusterState
from mnp_core.model import CommonRules, Direction, ObjectName, Packet, Protocol, SandboxPolicy, parse_address
from mnp_core.policy.evaluate import evaluate
from mnp_core.testing.lifecycle import changed_by
from mnp_core.testing.suites.reference.naive import End
from mnp_core.testing.suites.wire.living import Living, Manifest, make_decoder


class Evaluated:
    """A node that enforces policy on all pods of the cluster, without a kernel."""

    def __init__(self) -> None:
        self._living = Living(make_decoder())
        self._cluster = ClusterState(common=CommonRules(), claimed=frozenset({"macvlan"}))
        self._in_force: dict[ObjectName, SandboxPolicy | None] = {}

    def become(self, objects: Iterable[Manifest]) -> None:
        """Go on to another state of the cluster."""
        self._take_in(self._cluster.apply(self._living.become(objects)))

    def allowed(self, source: End, destination: End, protocol: str, port: int) -> bool:
        """The same question that the reference answers."""
        if source.pod is not None and self._is_own(source.pod, destination.address):
            return True
        leaves = source.pod is None or self.passes("Egress", source, destination.address, protocol, port)
        enters = destination.pod is None or self.passes("Ingress", destination, source.address, protocol, port)
        return leaves and enters

    def passes(self, direction: str, here: End, peer: str, protocol: str, port: int) -> bool:
        """One direction of one interface."""
        policy = self._in_force.get(_name(here.pod))
        if policy is None:
            return True
        ends = (here.address, peer) if direction == "Egress" else (peer, here.address)
        source, destination = map(parse_address, ends)
        packet = Packet(source=source, destination=destination, protocol=Protocol[protocol], port=port)
        return evaluate(policy, here.interface, Direction(direction), packet).allowed

    def _is_own(self, pod: str, address: str) -> bool:
        known = self._cluster.pod(_name(pod))
        return known is not None and any(ip_address(address) in status.addresses for status in known.statuses)

    def _take_in(self, effect: Affected) -> None:
        for pod in effect.gone:
            self._in_force.pop(pod, None)
        for pod in effect.sandboxes:
            self._in_force[pod] = self._cluster.sandbox_policy(pod)
        for delta, users in effect.deltas:
            for pod in users:
                self._in_force[pod] = changed_by(self._in_force[pod], delta)


def _name(pod: str) -> ObjectName:
    return ObjectName(*pod.split("/"))
