"""Sends real packets between pods, hundreds of probes at once on one thread, without starting a program."""

import resource
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial

from attrs import evolve

from mnp_core.api import Sandbox
from mnp_core.closing import Closing
from mnp_core.errors import SandboxError
from mnp_core.model import Address, ObjectName
from mnp_core.offline.probe import Probe, ProbeResult, ProbeVerdict
from mnp_core.sandbox.netns import run_inside
from mnp_lab.transport import neighbours
from mnp_lab.transport.attempt import Loop, ProbeAttempt
from mnp_lab.transport.pod_sockets import PodSockets

Progress = Callable[[str, int, int], None]
"""Called with the description of a step, the units done and the units in total."""

DEFAULT_TIMEOUT = 1.0
"""Seconds after which silence is taken for a denial."""

_AT_ONCE = 1000
_DESCRIPTORS_PER_PROBE = 2  # one for the client and, at worst, one for the listener
_ATTEMPTS = 4  # when the neighbour table overflows
_RESEND_AT = (0.15, 0.4, 0.7)  # parts of the timeout


class Prober(Closing):
    """Sends probes, and listens on unused ports. Listeners stay open until `close`, for the next run."""

    def __init__(self, locate: Callable[[ObjectName], Sandbox]) -> None:
        """Start with nothing open.

        Args:
            locate: From a pod to its network namespace; raises SandboxNotFoundError if there is none.
        """
        self._locate = locate
        self._loop = Loop()
        self._sockets: dict[ObjectName, PodSockets] = {}

    def run(
        self, probes: Iterable[Probe], timeout: float = DEFAULT_TIMEOUT, progress: Progress = lambda *_: None
    ) -> tuple[ProbeResult, ...]:
        """Send all probes, as many at once as there is room for.

        Args:
            probes: The probes.
            timeout: Seconds for each; silence for so long is a denial.
            progress: Called as results arrive.

        Returns:
            The results, in the order of the probes.
        """
        asked = tuple(probes)
        answers: list[ProbeResult] = []
        for batch in _batches(asked, _room()):
            if answers:
                self._forget_neighbours()
            done = partial(_report, progress, len(answers), len(asked))
            answers += self._retry_overflows(batch, timeout, done)
        return tuple(answers)

    def close(self) -> None:
        """Stop listening."""
        for sockets in self._sockets.values():
            sockets.close()
        self._sockets.clear()
        self._loop.close()

    def _retry_overflows(
        self, probes: Sequence[Probe], timeout: float, landed: Callable[[int], None]
    ) -> list[ProbeResult]:
        """Retry unanswered probes after an overflow of the neighbour table."""
        answers: dict[int, ProbeResult] = {}
        for attempt in range(_ATTEMPTS):
            overflows = neighbours.overflows()
            open_ones = [number for number in range(len(probes)) if not _answered(answers.get(number))]
            results = self._run([probes[number] for number in open_ones], timeout, landed)
            answers.update(zip(open_ones, results, strict=True))
            if neighbours.overflows() == overflows:
                return [answers[number] for number in range(len(probes))]
            self._forget_neighbours()
            time.sleep(attempt)  # entries of others can be replaced when they are a few seconds old
        return [
            a if _answered(a) else evolve(a, verdict=ProbeVerdict.ERROR, detail=neighbours.FULL)
            for a in answers.values()
        ]

    def _forget_neighbours(self) -> None:
        for sockets in self._sockets.values():
            with suppress(SandboxError):
                run_inside(sockets.sandbox, neighbours.forget_neighbours)

    def _run(self, probes: Sequence[Probe], timeout: float, landed: Callable[[int], None]) -> list[ProbeResult]:
        missing = self._open_sockets(probes)
        attempts = [self._attempt(probe, missing) for probe in probes]
        try:
            self._run_attempts([attempt for attempt in attempts if attempt.result is None], timeout, landed)
            return [attempt.result for attempt in attempts if attempt.result is not None]
        finally:
            for attempt in attempts:
                attempt.close()
            for sockets in self._sockets.values():
                sockets.discard_clients()

    def _open_sockets(self, probes: Sequence[Probe]) -> dict[ObjectName, str]:
        """Open the sockets in every pod; return the reasons for pods that could not be entered."""
        missing: dict[ObjectName, str] = {}
        for name in sorted({name for probe in probes for name in (probe.source, probe.destination)}):
            try:
                self._sockets_for(name)
            except SandboxError as error:
                missing[name] = str(error)
        for probe in probes:
            if not missing.keys() & {probe.source, probe.destination}:
                self._sockets[probe.destination].prepare_server(probe)
                self._sockets[probe.source].prepare_client(probe)
        for name in self._sockets.keys() - missing.keys():
            try:
                self._sockets[name].open()
            except (SandboxError, OSError) as error:
                self._sockets.pop(name).close()
                missing[name] = str(error)
        return missing

    def _sockets_for(self, name: ObjectName) -> None:
        """Open sockets in the pod's current sandbox; the pod may have been re-created."""
        sockets = self._sockets.pop(name, None)
        try:
            sandbox = self._locate(name)
            if sockets is None or sockets.sandbox != sandbox:
                sockets, old = PodSockets(sandbox, self._loop), sockets
                if old is not None:
                    old.close()
        except SandboxError:
            if sockets is not None:
                sockets.close()
            raise
        self._sockets[name] = sockets

    def _attempt(self, probe: Probe, missing: dict[ObjectName, str]) -> ProbeAttempt:
        trouble = missing.get(probe.source) or missing.get(probe.destination)
        trouble = trouble or self._sockets[probe.destination].trouble(probe)
        if trouble:
            attempt = ProbeAttempt(probe, self._loop)
            attempt.resolve(ProbeVerdict.ERROR, trouble)
            return attempt
        self._sockets[probe.destination].serve(probe)
        try:
            return self._sockets[probe.source].attempt(probe)
        except OSError as error:
            attempt = ProbeAttempt(probe, self._loop)
            attempt.fail(error)
            return attempt

    def _run_attempts(self, attempts: Sequence[ProbeAttempt], timeout: float, landed: Callable[[int], None]) -> None:
        for attempt in attempts:
            attempt.start()
        start = time.monotonic()
        resends = [start + timeout * part for part in _RESEND_AT]
        pending = set(attempts)
        while pending:
            pending = _still_pending(pending)
            landed(len(attempts) - len(pending))
            wake = resends[0] if resends else start + timeout
            busy = bool(pending) and self._loop.poll(wake - time.monotonic())
            now = time.monotonic()
            if resends and now >= resends[0]:
                resends.pop(0)
                for attempt in pending:
                    attempt.resend()
            elif now >= start + timeout and (not busy or now >= start + 3 * timeout):
                # Only when nothing is left to be read: this thread may have been kept from running meanwhile.
                self._expire(pending)

    def _expire(self, attempts: Iterable[ProbeAttempt]) -> None:
        for attempt in attempts:
            if attempt.unsent:
                attempt.resolve(ProbeVerdict.DENIED, attempt.unsent)
            else:
                attempt.resolve(*self._sockets[attempt.probe.destination].verdict_on_timeout(attempt.probe))


def _batches(probes: Sequence[Probe], size: int) -> Iterator[tuple[Probe, ...]]:
    """Cut into parts of a size, and of not too many pairs that have to find each other."""
    batch: list[Probe] = []
    pairs: Counter[int] = Counter()
    seen: set[tuple[Address, Address]] = set()
    for probe in probes:
        ends = {(probe.source_address, probe.address), (probe.address, probe.source_address)}
        if len(batch) == size or pairs[probe.address.version] + len(ends - seen) > neighbours.PAIRS_AT_ONCE:
            yield tuple(batch)
            batch, pairs, seen = [], Counter(), set()
        batch.append(probe)
        pairs[probe.address.version] += len(ends - seen)
        seen |= ends
    if batch:
        yield tuple(batch)


def _still_pending(attempts: Iterable[ProbeAttempt]) -> set[ProbeAttempt]:
    """Those that have not landed; the others let go of their sockets, which would keep the loop busy."""
    for attempt in attempts:
        if attempt.result is not None:
            attempt.close()
    return {attempt for attempt in attempts if attempt.result is None}


def _report(progress: Progress, before: int, total: int, landed: int) -> None:
    progress("probing", before + landed, total)


def _answered(result: ProbeResult | None) -> bool:
    """Whether packets came back, so that the answer is sure."""
    return result is not None and (result.verdict is ProbeVerdict.ALLOWED or result.verdict is ProbeVerdict.REFUSED)


def _room() -> int:
    """The number of probes for which this process has file descriptors, after raising its limit if need be."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _AT_ONCE * (_DESCRIPTORS_PER_PROBE + 1)
    ceiling = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < ceiling:
        resource.setrlimit(resource.RLIMIT_NOFILE, (ceiling, hard))
        soft = ceiling
    spare = wanted if soft == resource.RLIM_INFINITY else soft
    return max(1, min(_AT_ONCE, spare // (_DESCRIPTORS_PER_PROBE + 1)))
