"""Asks the agents of two nodes whether their kernels agree with the API's objects about a flow, and puts both together.

Each end is judged on its own node: egress by the agent of the source, ingress by that of the destination.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeGuard

from attrs import evolve

from mnp_core.classes import frozen
from mnp_core.cli.explain import Explained
from mnp_core.cli.fleet.answers import AnswerError, Failures, decode, sort_answers
from mnp_core.cli.fleet.kubectl import AgentPod
from mnp_core.cli.fleet.options import Fleet
from mnp_core.cli.formats.comparison import contradicts
from mnp_core.errors import InputError
from mnp_core.model import Address, ObjectName, Pod, Protocol
from mnp_core.node.status.fate import agrees, counted
from mnp_core.policy.ends import Host

Way = Mapping[str, Any]
_ANSWERING = frozenset({0, 1})  # 1: something differs
_IDENTITY = ("from", "to", "network", "interface", "address", "protocol", "port")
_JUDGED = ("verdict", "standing", "policies", "audit-policies", "rule", "setting")
_SIDES = {"egress": "from", "ingress": "to"}


@frozen(kw_only=True)
class Question:
    """A flow, and the nodes of its ends.

    Attributes:
        ends: Of the source and of the destination: a pod or an address.
        nodes: Likewise; empty for an address.
        ports: As of `flow_options`.
    """

    ends: tuple[str, str]
    nodes: tuple[str, str]
    ports: tuple[str, ...]

    @classmethod
    def of(cls, answer: Explained, pods: Mapping[ObjectName, Pod]) -> "Question":
        """The flows of an answer of objects.

        Raises:
            InputError: An end is on no node, or neither is a pod.
        """
        ends = _end(answer.sources, "--from"), _end(answer.destinations, "--to")
        nodes = _node(ends[0], pods), _node(ends[1], pods)
        if not any(nodes):
            raise InputError("neither end is a pod, so that no kernel judges: leave out --node")
        ports = dict.fromkeys(_port(each.flow.protocol, each.flow.port) for each in answer.explanations)
        return cls(ends=(str(ends[0]), str(ends[1])), nodes=nodes, ports=tuple(ports))

    def command(self, *options: str) -> tuple[str, ...]:
        """The arguments of `mnp` on a node."""
        flow = (f"--from={self.ends[0]}", f"--to={self.ends[1]}", *(f"--port={port}" for port in self.ports))
        return ("compare", "--output=json", *flow, *options)


@frozen(kw_only=True)
class Compared:
    """The answer of the nodes.

    Attributes:
        pods: Whether each pod's kernel has the wanted rules, with its node.
        ways: Each way of each flow, judged by the nodes.
        differences: Where they disagree with the objects or with a real packet, in words.
        failures: Why nodes have not answered, by node.
    """

    pods: tuple[Way, ...]
    ways: tuple[Way, ...]
    differences: tuple[str, ...]
    failures: Failures

    def as_json(self) -> dict[str, object]:
        """For JSON."""
        return {
            "pods": list(self.pods),
            "ways": list(self.ways),
            "differences": list(self.differences),
            "unanswered": [{"node": node, "reason": reason} for node, reason in self.failures.items()],
        }


@frozen
class _Answer:
    """The answer of one node."""

    node: str
    pods: Sequence[Way]
    ways: Mapping[tuple[object, ...], Way]

    @classmethod
    def of(cls, agent: AgentPod, output: bytes) -> "_Answer":
        """Take it; raises AnswerError."""
        found = decode(output)
        pods, ways = found.get("pods"), found.get("ways")
        if not _are_objects(pods) or not _are_objects(ways) or not all(map(_is_way, ways)):
            raise AnswerError("its answer is not that of mnp compare")
        return cls(agent.label, pods, dict(zip(_keys(ways), ways, strict=True)))


def compare(fleet: Fleet, question: Question, answer: Explained, *, sends: bool) -> Compared:
    """Ask the nodes.

    Args:
        fleet: Their agents.
        question: The flow.
        answer: That of the objects.
        sends: Whether the agent of the source sends a real packet on each way.

    Raises:
        InputError: A node has no agent, or no pod would send.
        ApiUnreachableError: kubectl fails.
    """
    near, far = question.nodes
    if sends and not near:
        raise InputError(f"a packet is sent by a pod, and {question.ends[0]} is none", where="--from")
    fleet = evolve(fleet, nodes=tuple(dict.fromkeys(node for node in question.nodes if node)))
    agents = {agent.node: agent for agent in fleet.agents()}
    before, failures = _asked(fleet, [each for each in agents.values() if not sends or each.node != near], question)
    after = before
    if sends:
        sent, unsent = _asked(fleet, [agents[near]], question, "--probe")
        again, silent = _asked(fleet, [agents[far]] if far and far != near else [], question)
        after, failures = {**before, **sent, **again}, {**failures, **unsent, **silent}
    pods = [{**pod, "node": found.node} for found in after.values() for pod in found.pods]
    expected = [each.as_json() for each in answer.explanations]
    ways = [_merged(way, key, question, before, after) for key, way in zip(_keys(expected), expected, strict=True)]
    told = [*_differing_pods(pods), *_differing_ways(expected, ways, question, after)]
    return Compared(pods=tuple(pods), ways=tuple(ways), differences=tuple(told), failures=failures)


def _asked(
    fleet: Fleet, agents: Sequence[AgentPod], question: Question, *options: str
) -> tuple[dict[str, _Answer], Failures]:
    if not agents:
        return {}, {}
    return sort_answers(fleet.ask(agents, question.command(*options), answering=_ANSWERING), _Answer.of)


def _merged(
    way: Way,
    key: tuple[object, ...],
    question: Question,
    before: Mapping[str, _Answer],
    after: Mapping[str, _Answer],
) -> Way:
    """One way as its nodes judge it."""
    found = {side: _side(side, key, node, before, after) for side, node in zip(_SIDES, question.nodes, strict=True)}
    egress, ingress = found["egress"], found["ingress"]
    known = [side for side, node in zip(found.values(), question.nodes, strict=True) if node]
    denied = any(side is not None and side.get("verdict") == "denied" for side in known)
    verdict = "denied" if denied else "unknown" if None in known else "allowed"
    near = after.get(question.nodes[0])
    probe = near.ways.get(key, {}).get("probe") if near is not None else None
    if probe is not None:
        allowed, moved = way["verdict"] == "allowed", counted(egress, ingress)
        probe = {**probe, "agrees": agrees(str(probe.get("answer")), allowed=allowed, counted=moved)}
    return {**{name: way[name] for name in _IDENTITY}, "verdict": verdict, **found, "probe": probe}


def _side(
    side: str, key: tuple[object, ...], node: str, before: Mapping[str, _Answer], after: Mapping[str, _Answer]
) -> Way | None:
    """One end by its node, with the counter before the packet and after it."""
    found = after[node].ways.get(key, {}).get(side) if node in after else None
    earlier = before[node].ways.get(key, {}).get(side) if node in before else None
    if found is None or earlier is None or before is after:
        return found
    return {**found, "before": earlier.get("before")}


def _differing_pods(pods: Iterable[Way]) -> Iterator[str]:
    for pod in pods:
        if not pod.get("in-force"):
            yield f"the kernel of {pod.get('namespace')}/{pod.get('name')} on {pod['node']} has not the wanted rules"


def _differing_ways(
    expected: Sequence[Way], ways: Sequence[Way], question: Question, found: Mapping[str, _Answer]
) -> Iterator[str]:
    for ours, theirs in zip(expected, ways, strict=True):
        flow = f"{ours['from']} -> {ours['to']} ({ours['address']}) on {ours['network']}"
        for (side, end), node in zip(_SIDES.items(), question.nodes, strict=True):
            if node in found:
                yield from (f"{flow}: {text}" for text in _differing_side(ours[side], theirs[side], ours[end], node))
        if contradicts(theirs):
            yield f"{flow}: the policies say {ours['verdict']}, but the packet was {theirs['probe'].get('answer')}"


def _differing_side(ours: Way, theirs: Way | None, pod: str, node: str) -> Iterator[str]:
    if theirs is None:
        yield f"the agent of {node} has no rules for {pod} there"
        return
    words = [f"{each.get('verdict')}, {each.get('standing')}" for each in (ours, theirs)]
    if words[0] != words[1]:
        yield f"the objects say {words[0]} at {pod}, the agent of {node} {words[1]}"
    elif any(ours.get(name) != theirs.get(name) for name in _JUDGED):
        yield f"the agent of {node} has other policies for {pod} than the API: it follows a change, or is behind"


def _end(parties: Sequence[Host | Address], option: str) -> ObjectName | Address:
    if len(parties) != 1:
        raise InputError("several pods have this address: name one of them", where=option)
    (party,) = parties
    return party.pod if isinstance(party, Host) else party


def _node(end: ObjectName | Address, pods: Mapping[ObjectName, Pod]) -> str:
    if not isinstance(end, ObjectName):
        return ""
    if not pods[end].node:
        raise InputError(f"pod {end} is on no node yet")
    return pods[end].node


def _port(protocol: Protocol, port: int | None) -> str:
    return "icmp" if port is None else f"{protocol.name.lower()}:{port}"


def _keys(ways: Iterable[Way]) -> list[tuple[object, ...]]:
    """Identities of ways; those of several interfaces on one network come in the same order everywhere."""
    counts = Counter[tuple[object, ...]]()
    keys = []
    for way in ways:
        key = tuple(way.get(name) for name in _IDENTITY)
        keys.append((*key, counts[key]))
        counts[key] += 1
    return keys


def _are_objects(value: object) -> TypeGuard[list[Way]]:
    return isinstance(value, list) and all(isinstance(each, dict) for each in value)


def _is_way(way: Way) -> bool:
    parts = [way.get(name) for name in ("egress", "ingress", "probe")]
    return (
        all(isinstance(way.get(name), str | int | None) for name in _IDENTITY)
        and all(part is None or isinstance(part, dict) for part in parts)
        and all(_is_count(side.get(when)) for side in parts[:2] if side for when in ("before", "after"))
    )


def _is_count(value: object) -> bool:
    return value is None or (isinstance(value, dict) and isinstance(value.get("packets", 0), int))
