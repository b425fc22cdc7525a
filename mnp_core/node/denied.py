"""The log of denied packets: a reader in every sandbox whose rules log, and the identity of each packet.

A failure here is reported and leaves enforcement alone.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from functools import partial
from socket import socket
from typing import Final

import structlog

from mnp_core.agent.agent import Agent
from mnp_core.api import Outcome, Result, Sandbox
from mnp_core.classes import frozen
from mnp_core.closing import Closing
from mnp_core.errors import MnpError
from mnp_core.model import (
    Address,
    Audited,
    DeniedLog,
    Direction,
    Isolated,
    LogMark,
    ObjectName,
    ObjectRef,
    SandboxPolicy,
)
from mnp_core.netfilter.headers import Headers, parse_headers
from mnp_core.netfilter.nflog import Logged, open_group
from mnp_core.node.denied_reader import DeniedReader
from mnp_core.sandbox.pool import SandboxPool
from mnp_core.telemetry.denied_packet import DeniedPacket, log_fields
from mnp_core.telemetry.sink import Sink

_RETRY_SECONDS: Final = 30.0
_log: Final[structlog.stdlib.BoundLogger] = structlog.stdlib.get_logger(__name__)
_packets: Final[structlog.stdlib.BoundLogger] = structlog.stdlib.get_logger("mnp_core.denied")

Listener = Callable[[DeniedPacket], None]


@frozen(kw_only=True)
class _Subject:
    """A pod with a log: its interfaces as its packets' records name them."""

    sandbox: Sandbox
    labels: Mapping[str, str]
    networks: Mapping[str, tuple[ObjectName, ...]]
    policies: Mapping[tuple[str, Direction], tuple[ObjectRef, ...]]


def log_packet(packet: DeniedPacket) -> None:
    """Write the line of a packet."""
    _packets.info(f"packet {packet.verdict.value}", **log_fields(packet))


class DeniedPackets(Sink, Closing):
    """Keeps a reader for each pod with a log. One thread owns it, the agent's; packets come on the reader's."""

    def __init__(self, agent: Agent, pool: SandboxPool, settings: DeniedLog, listeners: Iterable[Listener]) -> None:
        """Begin without pods.

        Args:
            agent: Names pods, their sandboxes and policies.
            pool: Runs work inside sandboxes.
            settings: Group and limits.
            listeners: Called with each packet on the reader's thread; they must return soon.
        """
        self._agent, self._pool, self._settings = agent, pool, settings
        self._listeners = tuple(listeners)
        self._subjects: dict[ObjectName, _Subject] = {}  # read on the reader's thread, one entry at a time
        self._retry_at: dict[ObjectName, float] = {}
        self._reader = DeniedReader(settings, self._logged)
        self.thread = self._reader.thread

    def close(self) -> None:
        """Stop reading."""
        self._reader.close()

    # --- the agent's thread -----------------------------------------------------------------------------------------

    def outcome(self, outcome: Outcome) -> None:
        """Follow a change of a pod's rules."""
        if outcome.result not in {Result.FAILED, Result.UPDATED}:
            self._follow(outcome.pod)

    def tend(self) -> None:
        """Forget sandboxes that have ended, and try again where no group could be opened; every second."""
        now = time.monotonic()
        for pod, subject in tuple(self._subjects.items()):
            if self._agent.sandbox(pod) != subject.sandbox:
                self._forget(pod)
            elif self._retry_at.get(pod, now + 1) <= now:
                self._open(pod, subject.sandbox)

    def _follow(self, pod: ObjectName) -> None:
        policy, sandbox = self._agent.cluster.sandbox_policy(pod), self._agent.sandbox(pod)
        if policy is None or sandbox is None or policy.common.denied_log is None:
            self._forget(pod)
            return
        before = self._subjects.get(pod)
        self._subjects[pod] = self._subject(policy, sandbox)
        if before is None or before.sandbox != sandbox:
            self._open(pod, sandbox)

    def _subject(self, policy: SandboxPolicy, sandbox: Sandbox) -> _Subject:
        directions = (
            (each.interface, direction, each.of(direction)) for each in policy.interfaces for direction in Direction
        )
        return _Subject(
            sandbox=sandbox,
            labels=self._labels(policy.pod),
            networks={each.interface: each.networks for each in policy.interfaces},
            policies={
                (interface, direction): rules.policies
                for interface, direction, rules in directions
                if isinstance(rules, Isolated | Audited)
            },
        )

    def _open(self, pod: ObjectName, sandbox: Sandbox) -> None:
        self._retry_at.pop(pod, None)
        settings = self._settings
        opened = self._pool.submit(sandbox, lambda: open_group(settings.group, settings.size))
        opened.add_done_callback(lambda done: self._agent.post(partial(self._opened, pod, sandbox, done)))

    def _opened(self, pod: ObjectName, sandbox: Sandbox, done: "Future[socket]") -> None:
        subject = self._subjects.get(pod)
        is_current = subject is not None and subject.sandbox == sandbox
        error = None if done.cancelled() else done.exception()
        if done.cancelled() or error is not None:
            if is_current and isinstance(error, MnpError | OSError):
                _log.warning("denied packets are not logged", pod=str(pod), error=str(error))
                self._retry_at[pod] = time.monotonic() + _RETRY_SECONDS
        elif is_current:
            self._reader.listen(pod, done.result())
        else:
            done.result().close()

    def _forget(self, pod: ObjectName) -> None:
        if self._subjects.pop(pod, None) is not None:
            self._retry_at.pop(pod, None)
            self._reader.forget(pod)

    # --- the reader's thread ----------------------------------------------------------------------------------------

    def _logged(self, pod: ObjectName, logged: Logged) -> None:
        """Name the packet, and pass it on; packets without a mark of ours are another rule's."""
        mark, headers, subject = LogMark.parse(logged.prefix), parse_headers(logged.payload), self._subjects.get(pod)
        if mark is None or headers is None or subject is None:
            return
        policies = subject.policies.get((mark.interface, mark.direction))
        if policies is None:
            return  # no rule of ours has this mark: it is forged, or older than the policy in force
        packet = self._packet(pod, mark, headers, subject)
        for listener in self._listeners:
            listener(packet)

    def _packet(self, pod: ObjectName, mark: LogMark, headers: Headers, subject: _Subject) -> DeniedPacket:
        networks = subject.networks[mark.interface]
        peer = self._owner(networks, headers.source if mark.direction is Direction.INGRESS else headers.target)
        return DeniedPacket(
            time=time.time(),
            verdict=mark.verdict,
            pod=pod,
            labels=subject.labels,
            interface=mark.interface,
            networks=networks,
            direction=mark.direction,
            policies=subject.policies[mark.interface, mark.direction],
            headers=headers,
            peer=peer,
            peer_labels=self._labels(peer),
        )

    def _owner(self, networks: Iterable[ObjectName], address: Address) -> ObjectName | None:
        owners = (self._agent.cluster.owner_of(network, address) for network in networks)
        return next((owner for owner in owners if owner is not None), None)

    def _labels(self, pod: ObjectName | None) -> Mapping[str, str]:
        found = self._agent.cluster.pod(pod) if pod is not None else None
        return found.labels if found is not None else {}
