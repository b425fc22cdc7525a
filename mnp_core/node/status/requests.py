"""The requests that an agent answers through its socket. A new kind is an entry of `AgentRequests.kinds`."""

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from attrs import field

import mnp_core
from mnp_core.agent.agent import Agent
from mnp_core.classes import frozen
from mnp_core.model import ObjectName, Severity
from mnp_core.node.status.comparison import Comparison
from mnp_core.node.status.counters import CounterReader
from mnp_core.node.status.protocol import Answers, RequestKind
from mnp_core.node.status.reading import read, read_each
from mnp_core.node.status.selection import SELECTION, Selection, parse_selection
from mnp_core.node.status.snapshot import PodStatus, pod_status
from mnp_core.node.status.trace import Tracer
from mnp_core.telemetry.health import Answer

Clock = Callable[[], float]


def calendar(clock: Clock = time.monotonic) -> Callable[[float], datetime]:
    """Turns times of a clock that never goes back into those of calendars, by the difference of this moment."""
    now, base = datetime.now(UTC), clock()
    return lambda at: now + timedelta(seconds=at - base)


@frozen(kw_only=True)
class AgentRequests:
    """Answers from a running agent.

    Attributes:
        agent: The agent; read on its own thread alone.
        counters: Reads counters.
        comparison: Compares with kernels.
        tracer: Follows packets.
        node: The node's name.
        backend: The node's default backend.
        dialects: Of all backends.
        readiness: The answer to the readiness probe.
        started_at: When the process started.
    """

    agent: Agent
    counters: CounterReader
    comparison: Comparison
    tracer: Tracer
    node: str
    backend: str
    dialects: Mapping[str, str]
    readiness: Callable[[], Answer]
    started_at: datetime = field(factory=lambda: datetime.now(UTC))

    def kinds(self) -> dict[str, RequestKind]:
        """By name."""
        return {
            "compare": RequestKind(answer=self.comparison.answer),
            "probe": RequestKind(answer=self.comparison.probe),
            "counters": RequestKind(answer=self.counters.answer),
            "status": RequestKind(answer=self.status),
            "trace": RequestKind(answer=self.tracer.answer),
        }

    def status(self, arguments: Mapping[str, Any]) -> Answers:
        """`{"node": …}`, then `{"pod": …}` for each selected pod, by name."""
        selection = parse_selection(arguments, SELECTION)
        yield {"node": read(self.agent.post, self._node)}
        at = calendar()
        names = read(self.agent.post, lambda: self._names(selection))
        for status in read_each(self.agent.post, names, lambda name: self._pod(name, selection)):
            yield {"pod": status.as_json(at)}

    def _names(self, selection: Selection) -> list[ObjectName]:
        return sorted(state.name for state in self.agent.pods if selection.has(state.name))

    def _pod(self, name: ObjectName, selection: Selection) -> PodStatus | None:
        state = self.agent.pods.get(name)
        if state is None or not selection.has_network(self.agent.cluster.claims(name)):
            return None
        return pod_status(self.agent.cluster, state, self.dialects)

    def _node(self) -> dict[str, object]:
        cluster, ready = self.agent.cluster, self.readiness()
        sizes, counts = cluster.group_sizes, cluster.standing.counts()
        return {
            "name": self.node,
            "version": mnp_core.__version__,
            "time": _text(datetime.now(UTC)),
            "started-at": _text(self.started_at),
            "ready": ready.good,
            "readiness": ready.text,
            "backend": self.backend,
            "pods": len(tuple(self.agent.pods)),
            "enforced": self.agent.enforced,
            "policies": cluster.policies,
            "groups": len(sizes),
            "members": sum(sizes.values()),
            "problems": counts[Severity.PROBLEM],
            "hints": counts[Severity.HINT],
        }


def _text(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
