"""Compares the verdict on a flow with the kernels of this node's pods: rules, membership, and the deciding counter.

The verdict is that of `evaluate` on the policy of this moment; the kernel is asked in the pod's own namespace. A change
under way is waited for, so that a difference is one that lasts.
"""

import time
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any, Final

from mnp_core.agent.agent import Agent
from mnp_core.api import RuleApplier
from mnp_core.classes import frozen
from mnp_core.errors import MnpError
from mnp_core.model import Installed, ObjectName, Ruleset
from mnp_core.node.status.fate import agrees, counted
from mnp_core.node.status.flow import FlowQuestion, parse_flow_question
from mnp_core.node.status.judged import FlowJudge, Judged, LocalPod
from mnp_core.node.status.kernel import CounterKey, Kernels, summed
from mnp_core.node.status.probe import ProbeResult
from mnp_core.node.status.protocol import Answers, Item
from mnp_core.node.status.sender import ProbeSender
from mnp_core.policy.ends import Standing
from mnp_core.policy.explain import Explanation, Side
from mnp_core.sandbox.pool import SandboxPool
from mnp_core.sandbox.rules import is_in_force

_TRIES: Final = 4
_PAUSE_SECONDS: Final = 0.4  # for a change under way
_POD_SECONDS: Final = 10.0
_SAMPLE: Final = 5  # members of a set that are named
_DENIED: Final = "denied"  # labels of counters, see `mnp_core.model.RuleCounter`
_WOULD_DENY: Final = "would-deny"

Counts = Mapping[CounterKey, tuple[int, int]]
"""Packets and bytes."""


@frozen(kw_only=True)
class Comparison:
    """Answers requests to compare.

    Attributes:
        agent: The agent; read on its own thread alone.
        pool: Runs work inside of sandboxes.
        pause: Seconds between two looks at a kernel that differs.
    """

    agent: Agent
    pool: SandboxPool
    pause: float = _PAUSE_SECONDS

    @property
    def _judge(self) -> FlowJudge:
        return FlowJudge(self.agent)

    @property
    def _kernels(self) -> Kernels:
        return Kernels(self.pool, _POD_SECONDS)

    def answer(self, arguments: Mapping[str, Any]) -> Answers:
        """`{"pod": …}` for each end on this node, then `{"way": …}` for each way of each flow."""
        yield from self._answer(parse_flow_question(arguments), sends=False)

    def probe(self, arguments: Mapping[str, Any]) -> Answers:
        """The same, with one real packet on each way between the two readings of the counters."""
        yield from self._answer(parse_flow_question(arguments), sends=True)

    def _answer(self, question: FlowQuestion, *, sends: bool) -> Answers:
        judged = self._judge.judge(question)
        sender = ProbeSender.of(self.pool, question.source, judged) if sends else None
        for name in judged.pods:
            yield {"pod": self._compared(name)}
        yield from self._ways(judged, question.seconds, sender)

    def _compared(self, name: ObjectName) -> Item:
        """The rules in the kernel against those that policy wants, now; a difference is looked at again."""
        item: Item = {}
        for attempt in range(_TRIES):
            if attempt:
                time.sleep(self.pause)
            target = self._judge.local(name)
            if target is None:
                return _pod_item(name, "", error="it has left this node, or has no rules any more")
            item = self._compared_now(target)
            if item["in-force"]:
                break
        return item

    def _compared_now(self, target: LocalPod) -> Item:
        try:
            ruleset = target.renderer.render(target.policy)
            in_force, installed = self._kernels.look(target.sandbox, lambda: _looked_at(target.applier, ruleset))
        except Exception as error:  # noqa: BLE001 - a plugin may raise any exception; it is the answer about this pod
            return _pod_item(target.pod, target.backend, error=self._kernels.words(error))
        return _pod_item(target.pod, target.backend, ruleset=ruleset, installed=installed, in_force=in_force)

    def _ways(self, judged: Judged, seconds: float, sender: ProbeSender | None) -> Answers:
        ways, targets = judged.ways, judged.pods
        before = {name: self._counts(target) for name, target in targets.items()}
        probes = [sender.send(way) if sender is not None else None for way in ways]
        if seconds:
            time.sleep(seconds)
        looks_again = seconds or sender is not None
        after = {name: self._counts(target) for name, target in targets.items()} if looks_again else before
        for way, probe in zip(ways, probes, strict=True):
            egress, ingress = (_side(side, before, after) for side in (way.source, way.destination))
            verdict = _verdict(way, targets)
            result = _result_json(way, probe, egress, ingress)
            yield {"way": {**way.as_json(), "verdict": verdict, "egress": egress, "ingress": ingress, "probe": result}}

    def _counts(self, target: LocalPod) -> Counts:
        try:
            return summed(self._kernels.look(target.sandbox, lambda: list(target.applier.counters())))
        except (MnpError, FutureTimeoutError):  # the comparison of the pod has the reason
            return {}


def _looked_at(applier: RuleApplier, ruleset: Ruleset) -> tuple[bool, Installed | None]:
    return is_in_force(applier, ruleset), applier.installed()


def _pod_item(
    name: ObjectName,
    backend: str,
    *,
    ruleset: Ruleset | None = None,
    installed: Installed | None = None,
    in_force: bool = False,
    error: str = "",
) -> Item:
    wanted, present = ruleset.sets if ruleset else {}, installed.sets if installed else {}
    return {
        "namespace": name.namespace,
        "name": name.name,
        "backend": backend,
        "in-force": in_force,
        "wanted-digest": ruleset.digest if ruleset else "",
        "kernel-digest": installed.digest if installed else "",
        "sets": list(_differences(wanted, present)) if not in_force and installed else [],
        "error": error,
    }


def _differences(wanted: Mapping[str, frozenset[str]], present: Mapping[str, frozenset[str]]) -> Iterator[Item]:
    """The sets whose members differ; those that policy does not know are of rules before, or of others."""
    for name in sorted(wanted):
        missing, extra = (
            (wanted[name] - present.get(name, frozenset())),
            (present.get(name, frozenset()) - wanted[name]),
        )
        if missing or extra:
            yield {
                "set": name,
                "wanted": len(wanted[name]),
                "missing": len(missing),
                "extra": len(extra),
                "missing-members": sorted(missing)[:_SAMPLE],
                "extra-members": sorted(extra)[:_SAMPLE],
            }


def _side(side: Side, before: Mapping[ObjectName, Counts], after: Mapping[ObjectName, Counts]) -> Item | None:
    """One end with its counter; None for an end whose kernel is not on this node."""
    attachment = side.attachment
    if attachment is None or attachment.pod not in before:
        return None
    label = _label(side)
    key = attachment.interface, side.direction.value, label
    counts = [_count(counts[attachment.pod].get(key)) if label else None for counts in (before, after)]
    return {**side.as_json(), "counter": label, "before": counts[0], "after": counts[1]}


def _result_json(way: Explanation, probe: ProbeResult | None, egress: Item | None, ingress: Item | None) -> Item | None:
    if probe is None:
        return None
    return {**probe.as_json(), "agrees": agrees(probe.answer, allowed=way.allowed, counted=counted(egress, ingress))}


def _verdict(way: Explanation, targets: Collection[ObjectName]) -> str:
    """By the ends on this node: another node may deny what these allow."""
    if not way.allowed:
        return "denied"
    pods = [side.attachment.pod for side in (way.source, way.destination) if side.attachment is not None]
    return "allowed" if all(pod in targets for pod in pods) else "allowed-here"


def _label(side: Side) -> str:
    """Of the counter that a first packet of the flow moves; empty where nothing counts it."""
    verdict = side.verdict
    if side.standing not in {Standing.ISOLATED, Standing.AUDITED}:
        return ""
    if verdict.would_deny:
        return _WOULD_DENY
    return str(verdict.origin) if verdict.origin is not None else verdict.setting or _DENIED


def _count(found: tuple[int, int] | None) -> Item | None:
    return {"packets": found[0], "bytes": found[1]} if found is not None else None
