"""Which answers of packets in a lab need a second look, and which a node would not give."""

from collections.abc import Mapping, Sequence

from attrs import evolve, frozen

from mnp_core.cli.objects import Objects
from mnp_core.cli.terminal import Step
from mnp_core.model import UNKNOWN_KIND, Isolated, ObjectName
from mnp_core.offline.probe import Probe, ProbeResult, ProbeVerdict
from mnp_core.plugins import Registry
from mnp_core.policy.ends import Flow
from mnp_core.policy.explain import Explanation, Side, explain
from mnp_lab.lab import Lab
from mnp_lab.nodeview import unenforceable

_UNCLAIMED = "no loaded plugin claims its CNI type, or network-plugins leaves it out"
_SECOND_CHANCE = 2  # times the timeout


@frozen(kw_only=True)
class Judge:
    """Judges the answers of one lab.

    Attributes:
        objects: The source of the lab.
        open_ends: Interfaces, by pod and name, that a node would not enforce policy on, and why.
        wished: The same objects, as if every kind of attachment could be enforced.
    """

    objects: Objects
    open_ends: Mapping[tuple[ObjectName, str], str]
    wished: Objects

    @classmethod
    def of(cls, lab: Lab, objects: Objects, registry: Registry) -> "Judge":
        """Look at a lab as a node would."""
        claims = [claim for pod in lab.plan.pods if pod in objects.pods for claim in objects.host(pod).attachments]
        unclaimed = {(c.pod, c.interface): _UNCLAIMED for c in claims if c.kind == UNKNOWN_KIND}
        types = frozenset(cni_type for network in objects.networks.values() for cni_type in network.cni_types)
        return cls(
            objects=objects,
            open_ends=unclaimed | unenforceable(lab.plan, claims, registry.make_discoverers()),
            wished=evolve(objects, claimed=objects.claimed | types),
        )

    def explanation(self, probe: Probe) -> Explanation | None:
        """The verdict of the policies on a probe, with reasons; None for unknown pods or an unknown path."""
        return explanation_of(probe, self.objects)

    def is_doubtful(self, result: ProbeResult) -> bool:
        """Whether a packet seems to have been lost: nothing came back, although no policy denies it."""
        if result.verdict is not ProbeVerdict.DENIED:
            return False
        explanation = self.explanation(result.probe)
        return explanation is None or explanation.allowed

    def as_on_a_node(self, result: ProbeResult) -> ProbeResult:
        """The result on a node; an error where only a stand-in of the lab could be enforced."""
        if result.verdict is not ProbeVerdict.DENIED:
            return result
        explanation = self.explanation(result.probe)
        if explanation is None or explanation.allowed:
            return result
        denying = [side for side in (explanation.source, explanation.destination) if not side.verdict.allowed]
        reasons = [self.open_ends.get(end) if end else None for end in map(_end, denying)]
        if not all(reasons):
            return result
        detail = f"denied here, but a node cannot enforce that on {denying[0]}: {_short(reasons[0])}"
        return evolve(result, verdict=ProbeVerdict.ERROR, detail=detail)

    def left_open(self) -> list[str]:
        """Interfaces that policies isolate and no node would, in words."""
        return [
            f"a policy isolates interface {interface} of pod {pod}, but a node cannot enforce it: {_short(reason)}"
            for (pod, interface), reason in sorted(self.open_ends.items())
            if self._is_isolated(pod, interface)
        ]

    def _is_isolated(self, pod: ObjectName, interface: str) -> bool:
        sandbox = self.wished.cluster.sandbox_policy(pod)
        policies = [each for each in (sandbox.interfaces if sandbox else ()) if each.interface == interface]
        return any(isinstance(way, Isolated) for each in policies for way in (each.ingress, each.egress))


def _short(reason: str | None) -> str:
    """The short form of a report."""
    return (reason or "").partition(":")[0]


def _end(side: Side) -> tuple[ObjectName, str] | None:
    return (side.attachment.pod, side.attachment.interface) if side.attachment else None


def explanation_of(probe: Probe, objects: Objects) -> Explanation | None:
    """As `Judge.explanation`, without a lab."""
    if not {probe.source, probe.destination} <= objects.pods.keys():  # one that could not be understood
        return None
    flow = Flow(protocol=probe.protocol, port=probe.port)
    ways = explain(objects.host(probe.source), objects.host(probe.destination), flow, objects.wires)
    return next((way for way in ways if _is_about(way, probe)), None)


def _is_about(explanation: Explanation, probe: Probe) -> bool:
    source, destination = explanation.source, explanation.destination
    return (
        explanation.network == probe.network
        and destination.address == probe.address
        and source.attachment is not None
        and source.attachment.interface == probe.source_interface
    )


def ask(lab: Lab, probes: Sequence[Probe], judge: Judge, *, timeout: float, progress: Step) -> list[ProbeResult]:
    """Send packets; one that seems to have got lost is sent once more, with more time."""
    results = list(lab.probe(probes, timeout=timeout, progress=progress))
    doubtful = [number for number, result in enumerate(results) if judge.is_doubtful(result)]
    again = lab.probe([probes[number] for number in doubtful], timeout=_SECOND_CHANCE * timeout)
    for number, result in zip(doubtful, again, strict=True):
        results[number] = result
    return [judge.as_on_a_node(result) for result in results]
