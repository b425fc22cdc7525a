"""Sends a real packet on each way of a flow, from a pod of this node."""

from typing import Final

from mnp_core.classes import frozen
from mnp_core.errors import InputError
from mnp_core.model import Address, ObjectName
from mnp_core.node.status.flow import End
from mnp_core.node.status.judged import Judged, LocalPod
from mnp_core.node.status.probe import Probe, ProbeResult, send_probe
from mnp_core.policy.ends import Standing
from mnp_core.policy.explain import Explanation
from mnp_core.sandbox.pool import SandboxPool

MOST_PACKETS: Final = 16


@frozen
class ProbeSender:
    """Sends from one pod.

    Attributes:
        pool: Runs work inside of sandboxes.
        pod: The pod.
    """

    pool: SandboxPool
    pod: LocalPod

    @classmethod
    def of(cls, pool: SandboxPool, source: End, judged: Judged) -> "ProbeSender":
        """The pod that is the source of a flow; raises InputError if this node cannot send or must not."""
        if not isinstance(source, ObjectName):
            raise InputError(f"a packet is sent by a pod, and {source} is none", where="request", field="from")
        if source not in judged.pods:
            text = f"{source} has no interface with rules on this node: ask the agent of its node"
            raise InputError(text, where="request", field="from")
        if len(judged.ways) > MOST_PACKETS:
            text = f"{len(judged.ways)} packets are more than {MOST_PACKETS}: name fewer ports"
            raise InputError(text, where="request", field="ports")
        targets = (way.destination.address for way in judged.ways)
        if bad := next((address for address in targets if not _is_host(address)), None):
            raise InputError(f"{bad} is no address of one host", where="request", field="to")
        return cls(pool, judged.pods[source])

    def send(self, way: Explanation) -> ProbeResult | None:
        """Send one packet and wait for its answer; None for one to the pod itself, which no rule judges.

        Raises:
            MnpError: As `send_probe`.
        """
        if way.source.attachment is None or way.source.standing is Standing.LOOPBACK:
            return None
        probe = Probe(
            source=way.source.address,
            interface=way.source.attachment.interface,
            destination=way.destination.address,
            flow=way.flow,
        )
        return send_probe(self.pool, self.pod.sandbox, probe)


def _is_host(address: Address) -> bool:
    return not (address.is_multicast or address.is_unspecified or address.is_loopback or address.is_reserved)
