"""Traffic for the length of a block."""

from multiprocessing.context import BaseContext
from types import TracebackType
from typing import Self

from mnp_core.testing.suites.atomicity import traffic
from mnp_core.testing.suites.atomicity.traffic import Flow, Traffic
from mnp_core.testing.suites.atomicity.writer import Writer


class Sending:
    """Traffic for the length of a block; `seen` is the outcome."""

    seen: Traffic

    def __init__(
        self, context: BaseContext, flows: list[Flow], *, pause: float = 0.0, writer: Writer | None = None
    ) -> None:
        """Prepare a process.

        Args:
            context: Makes it.
            flows: Flows to send.
            pause: Seconds between two packets of a flow; 0 sends to the packet filter all the time.
            writer: Writes the rules meanwhile; without it, every long round counts as `Traffic.blind`.
        """
        self._flows = flows
        self._running, self._stop, self._results = context.Event(), context.Event(), context.Queue()
        arguments = (flows, self._running, self._stop, self._results, pause, writer)
        self._process = context.Process(target=traffic.run, args=arguments, daemon=True)

    def __enter__(self) -> Self:
        self._process.start()
        assert self._running.wait(timeout=30)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self.seen = self._results.get(timeout=30)
        self._process.join()

    @property
    def wrong(self) -> dict[str, int]:
        """Of each flow that went wrong: packets that got through, or, negative, that were lost."""
        due = {flow.name: self.seen.rounds if flow.allowed else 0 for flow in self._flows}
        return {name: self.seen.received[name] - due[name] for name in due if self.seen.received[name] != due[name]}

    def __str__(self) -> str:
        gaps = [end - start for start, end in self.seen.gaps]
        longest = max(gaps, default=0) / 1e6
        return (
            f"{self.seen.rounds} packets of each of {len(self._flows)} flows in {self.seen.seconds:.0f} s, "
            f"median every {self.seen.median / 1000:.1f} ms, longest pause {longest:.0f} ms, wrong: {self.wrong or 0}"
        )
