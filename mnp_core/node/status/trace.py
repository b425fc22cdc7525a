"""Follows packets of a flow through the tables of this node's pods, by the kernel's own tracing.

A pod's network namespace is entered for a moment to begin, and to end; its sockets are read from outside.
"""

import errno
import select
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import ExitStack
from functools import partial
from typing import Any, Final

import structlog
from attrs import field

from mnp_core.api import RuleApplier, RuleLocator
from mnp_core.classes import define, frozen
from mnp_core.closing import Closing
from mnp_core.errors import InputError, SandboxError, UnsupportedError
from mnp_core.model import LinkPath, Packet
from mnp_core.netfilter.legacy_tracing import LegacyTracing
from mnp_core.netfilter.tracing import NftTracing, Step
from mnp_core.node.status.flow import parse_flow_question
from mnp_core.node.status.judged import FlowJudge, Judged, LocalPod
from mnp_core.node.status.kernel import Kernels
from mnp_core.node.status.protocol import Answers, Item
from mnp_core.node.status.sender import MOST_PACKETS, ProbeSender
from mnp_core.node.status.traced import TracedPacket, by_place, identity
from mnp_core.sandbox.pool import SandboxPool

_ARGUMENTS: Final = frozenset({"packets", "probe"})
_LONGEST_SECONDS: Final = 60.0
_TURN_SECONDS: Final = 0.2  # between two looks at the clock
_COMPLETE_SECONDS: Final = 0.4  # without another step, a packet has come to its end
_POD_SECONDS: Final = 5.0
_MOST_TRACED: Final = 100
_log: Final[structlog.stdlib.BoundLogger] = structlog.stdlib.get_logger(__name__)


class PodTracing(Closing):
    """The tracing in one pod."""

    def __init__(self, applier: RuleApplier, packets: Sequence[Packet], most: int, *, bridged: bool) -> None:
        """Begin, in the network namespace of the calling thread; raises MnpError.

        Args:
            applier: Of the pod's rules.
            packets: The first packet of each flow.
            most: The most packets of each flow.
            bridged: Whether packets of the pod may pass a bridge.
        """
        places = applier.places() if isinstance(applier, RuleLocator) else None
        self.rules = by_place(places) if places is not None else None
        self.sources: list[NftTracing | LegacyTracing] = [NftTracing(packets, most, bridged=bridged)]
        try:
            if any(not place.handle for place in places or ()):
                self.sources.append(LegacyTracing())
        except BaseException:
            self.close()
            raise

    def end(self) -> None:
        """Put things back, in the same network namespace; then `close`."""
        for source in self.sources:
            if isinstance(source, LegacyTracing):
                source.end()

    def close(self) -> None:
        """Close the sockets: the kernel removes the table."""
        for source in self.sources:
            source.close()


@define
class _Pod:
    """A pod that is traced, and its packets under way."""

    local: LocalPod
    tracing: PodTracing
    packets: dict[bytes, TracedPacket] = field(factory=dict)
    names: dict[bytes, bytes] = field(factory=dict)  # the kernel's own of packets, to ours
    lost: bool = False

    def read(self, now: float) -> None:
        """Take the steps that are there."""
        for source in self.tracing.sources:
            try:
                for step in source.read():
                    self._take(step, now)
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                self.lost = True

    def _take(self, step: Step, now: float) -> None:
        name = identity(step.packet_bytes) if step.packet_bytes else self.names.get(step.packet, step.packet)
        if step.packet:
            self.names[step.packet] = name
        packet = self.packets.get(name)
        if packet is None:
            packet = self.packets[name] = TracedPacket(self.local.pod, self.tracing.rules, now)
        packet.add(step, now)

    def complete(self, now: float) -> Iterator[TracedPacket]:
        """Take out the packets that have come to their end."""
        for name in [key for key, packet in self.packets.items() if now - packet.last >= _COMPLETE_SECONDS]:
            yield self.packets.pop(name)


@frozen(kw_only=True)
class Tracer:
    """Answers requests to trace.

    Attributes:
        judge: Judges flows.
        pool: Runs work inside of sandboxes.
    """

    judge: FlowJudge
    pool: SandboxPool

    def answer(self, arguments: Mapping[str, Any]) -> Answers:
        """`{"tracing": …}` when it has begun, `{"packet": …}` for each packet in each pod, `{"lost": …}` of steps."""
        question = parse_flow_question(arguments, longest=_LONGEST_SECONDS, others=_ARGUMENTS)
        most, sends = _most(arguments), arguments.get("probe", False)
        if not isinstance(sends, bool):
            raise InputError("must be true or false", where="request", field="probe")
        judged = self.judge.judge(question)
        sender = ProbeSender.of(self.pool, question.source, judged) if sends else None
        _check(judged)
        packets = [way.flow.packet(way.source.address, way.destination.address) for way in judged.ways]
        with ExitStack() as stack:
            pods = [self._begun(stack, pod, packets, most) for pod in judged.pods.values()]
            _log.info("trace begun", pods=[str(pod.local.pod) for pod in pods], seconds=question.seconds, packets=most)
            yield {"tracing": _tracing_json(judged, question.seconds)}
            for way in judged.ways if sender is not None else ():
                result = sender.send(way) if sender is not None else None
                yield {"probe": result.as_json() if result is not None else None}
            yield from _followed(pods, time.monotonic() + (question.seconds or _COMPLETE_SECONDS), most)

    def _begun(self, stack: ExitStack, pod: LocalPod, packets: Sequence[Packet], most: int) -> _Pod:
        bridged = any(interface.path is LinkPath.BRIDGED for interface in pod.policy.interfaces)
        begin = partial(PodTracing, pod.applier, packets, most, bridged=bridged)
        future = self.pool.submit(pod.sandbox, begin)
        try:
            tracing = stack.enter_context(future.result(_POD_SECONDS))
        except FutureTimeoutError as error:
            future.cancel()
            future.add_done_callback(_let_go)
            raise SandboxError(f"no turn in the network namespace of {pod.pod} within {_POD_SECONDS:g} s") from error
        except OSError as error:
            raise UnsupportedError(f"{pod.pod} cannot be traced: {error.strerror or error}") from error
        stack.callback(self._ended, pod, tracing)
        return _Pod(pod, tracing)

    def _ended(self, pod: LocalPod, tracing: PodTracing) -> None:
        try:
            Kernels(self.pool, _POD_SECONDS).look(pod.sandbox, tracing.end)
        except Exception as error:  # noqa: BLE001 - the sockets are closed all the same, which ends it
            _log.warning("a trace has not been ended in order", pod=str(pod.pod), error=str(error))


def _let_go(future: "Future[PodTracing]") -> None:
    if not future.cancelled() and future.exception() is None:
        future.result().close()


def _most(arguments: Mapping[str, Any]) -> int:
    most = arguments.get("packets", 1)
    if isinstance(most, bool) or not isinstance(most, int) or not 1 <= most <= _MOST_TRACED:
        raise InputError(f"must be 1 to {_MOST_TRACED}", where="request", field="packets")
    return most


def _check(judged: Judged) -> None:
    """Raise InputError if there is nothing to trace, or too much."""
    if not judged.ways:
        raise InputError("there is no way between these ends", where="request")
    if not judged.pods:
        raise InputError("neither end is a pod of this node with rules: ask the agent of its node", where="request")
    if len(judged.ways) > MOST_PACKETS:
        text = f"{len(judged.ways)} flows are more than {MOST_PACKETS}: name fewer ports"
        raise InputError(text, where="request", field="ports")


def _followed(pods: Sequence[_Pod], end: float, most: int) -> Answers:
    """The packets as they come to their end, until there are enough in some pod or the time is over."""
    poll = select.poll()
    for pod in pods:
        for source in pod.tracing.sources:
            poll.register(source, select.POLLIN)
    counts = dict.fromkeys(range(len(pods)), 0)
    while time.monotonic() < end or any(pod.packets for pod in pods):
        poll.poll(_TURN_SECONDS * 1000)
        yield None
        now = time.monotonic()
        for number, pod in enumerate(pods):
            pod.read(now)
            for packet in pod.complete(now):
                counts[number] += 1
                yield {"packet": packet.as_json()}
        if max(counts.values()) >= most and not any(pod.packets for pod in pods):
            break
    if lost := [str(pod.local.pod) for pod in pods if pod.lost]:
        yield {"lost": lost}


def _tracing_json(judged: Judged, seconds: float) -> Item:
    return {
        "pods": [str(name) for name in judged.pods],
        "ways": [way.as_json() for way in judged.ways],
        "seconds": seconds,
    }
