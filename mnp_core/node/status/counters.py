"""Counters of rules, read in the pods' own namespaces: a few pods at a time, and none twice within half a second."""

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from attrs import field

from mnp_core.agent.agent import Agent
from mnp_core.api import RuleApplier, Sandbox
from mnp_core.classes import frozen
from mnp_core.errors import InputError
from mnp_core.model import ObjectName, RuleCounter
from mnp_core.node.status.kernel import Kernels, summed
from mnp_core.node.status.protocol import Answers, Item
from mnp_core.node.status.reading import read, read_each
from mnp_core.node.status.selection import SELECTION, Selection, parse_selection
from mnp_core.sandbox.pool import SandboxPool

MOST_PODS: Final = 256  # of one request
_AT_ONCE: Final = 4  # of the pool's threads, which write rules
_FRESH_SECONDS: Final = 0.5
_POD_SECONDS: Final = 5.0  # for one pod, in which rules may be written just now


@frozen(kw_only=True)
class _Target:
    pod: ObjectName
    sandbox: Sandbox
    applier: RuleApplier


@frozen(kw_only=True)
class CounterReader:
    """Answers requests for counters.

    Attributes:
        agent: The agent; read on its own thread alone.
        pool: Runs work inside of sandboxes.
        clock: Seconds that never go back, the times of the answers.
    """

    agent: Agent
    pool: SandboxPool
    clock: Callable[[], float] = time.monotonic
    _places: threading.BoundedSemaphore = field(factory=lambda: threading.BoundedSemaphore(_AT_ONCE), init=False)
    _lock: threading.Lock = field(factory=threading.Lock, init=False)
    _recent: dict[ObjectName, tuple[float, Item]] = field(factory=dict, init=False)

    def answer(self, arguments: Mapping[str, Any]) -> Answers:
        """`{"pod": …}` for each selected pod with rules in force, by name."""
        selection = parse_selection(arguments, SELECTION)
        names = read(self.agent.post, lambda: self._names(selection))
        if len(names) > MOST_PODS:
            text = f"counters of {len(names)} pods are more than {MOST_PODS}: select a namespace, pods or networks"
            raise InputError(text, where="request")
        for target in read_each(self.agent.post, names, self._target):
            yield {"pod": self._read(target)}

    def _names(self, selection: Selection) -> list[ObjectName]:
        claims = self.agent.cluster.claims
        chosen = (state.name for state in self.agent.pods if selection.has(state.name) and state.stamp is not None)
        return sorted(name for name in chosen if selection.has_network(claims(name)))

    def _target(self, name: ObjectName) -> _Target | None:
        state = self.agent.pods.get(name)
        if state is None or state.sandbox is None or state.backend is None:
            return None
        return _Target(pod=name, sandbox=state.sandbox, applier=state.backend.applier)

    def _read(self, target: _Target) -> Item:
        with self._places:
            found = self._recent.get(target.pod)
            if found is None or self.clock() - found[0] > _FRESH_SECONDS:
                found = self.clock(), self._read_now(target)
                self._keep(target.pod, found)
        return found[1]

    def _keep(self, pod: ObjectName, found: tuple[float, Item]) -> None:
        with self._lock:
            for name in [name for name, (at, _) in self._recent.items() if found[0] - at > _FRESH_SECONDS]:
                del self._recent[name]
            self._recent[pod] = found

    def _read_now(self, target: _Target) -> Item:
        rules, error = list[Item](), ""
        kernels = Kernels(self.pool, _POD_SECONDS)
        try:
            rules = _items(kernels.look(target.sandbox, lambda: list(target.applier.counters())))
        except Exception as cause:  # noqa: BLE001 - a plugin may raise any exception; it concerns this pod's line alone
            error = kernels.words(cause)
        pod = target.pod
        return {"namespace": pod.namespace, "name": pod.name, "at": self.clock(), "error": error, "rules": rules}


def _items(counters: Iterable[RuleCounter]) -> list[Item]:
    return [
        {"interface": interface, "direction": direction, "rule": label, "packets": packets, "bytes": octets}
        for (interface, direction, label), (packets, octets) in summed(counters).items()
    ]
