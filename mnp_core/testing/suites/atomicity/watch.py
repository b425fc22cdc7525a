"""Which changes were watched from beginning to end, and what went wrong meanwhile."""

from bisect import bisect_left
from collections import Counter

from mnp_core.testing.suites.atomicity.traffic import Flow, Traffic
from mnp_core.testing.suites.atomicity.write_log import Record


class Watch:
    """Compares the traffic with the changes made meanwhile."""

    def __init__(self, flows: list[Flow]) -> None:
        self._flows = flows
        self._traffic: list[Traffic] = []
        self.begun: list[Record] = []
        self.watched: Counter[str] = Counter()
        self.wrong: dict[str, int] = {}

    def add(self, seen: Traffic, records: list[Record]) -> None:
        """Take in one round: the traffic of it, and the log so far."""
        new = records[len(self.begun) :]
        self.begun = records
        self._traffic.append(seen)
        self.watched.update(record.kind.name for record in new if is_watched(record, seen))
        for flow in self._flows:
            wrong = seen.received[flow.name] - (seen.rounds if flow.allowed else 0)
            if wrong:
                self.wrong[flow.name] = self.wrong.get(flow.name, 0) + wrong

    def summary(self, kills: int) -> list[str]:
        rounds, seconds = sum(seen.rounds for seen in self._traffic), sum(seen.seconds for seen in self._traffic)
        gaps = [end - start for seen in self._traffic for start, end in seen.gaps]
        blind = sum(len(seen.blind) for seen in self._traffic)
        median = sorted(seen.median for seen in self._traffic)[len(self._traffic) // 2]
        begun = Counter(record.kind.name for record in self.begun)
        kinds = ", ".join(f"{kind.lower()} {self.watched[kind]} of {count}" for kind, count in begun.items())
        pauses = (
            f"{sum(gaps) / 1e9 / seconds:.1%} of the time, the longest {max(gaps, default=0) / 1e6:.1f} ms, "
            f"{blind} of {len(gaps)} while the agent ran"
        )
        packets = f"{rounds} packets of each of {len(self._flows)} flows in {seconds:.0f} s, median every {median} µs"
        changes = f"{self.watched.total()} changes watched without a pause, of {begun.total()} ({kinds})"
        return [
            f"no open moment: {packets}, {1 - len(gaps) / rounds:.2%} within 100 µs; pauses beyond: {pauses}",
            f"no open moment: {changes}; {kills} kills; packets wrong: {self.wrong or 0}",
        ]


def is_watched(record: Record, seen: Traffic) -> bool:
    """Whether the traffic ran all through the change, without a pause that may have hidden a part of it.

    The processor time of children is not the writer's, so with these each pause may.
    """
    pauses = seen.blind if record.alone else seen.gaps
    index = bisect_left(pauses, (record.start, 0))
    undisturbed_since = pauses[index - 1][1] if index else seen.started
    undisturbed_until = pauses[index][0] if index < len(pauses) else seen.ended
    return undisturbed_since <= record.start < record.end <= undisturbed_until
