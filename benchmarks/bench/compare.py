"""Compare two reports of `make bench`: the figures that got better or worse beyond their noise.

    python -m benchmarks.bench.compare OLD.json NEW.json

Ends with 1 if a figure got worse, with 2 if a file is no report.
"""

import sys
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Final

from attrs import frozen

from benchmarks.bench.measurement import Measurement
from benchmarks.bench.report import read

_DEVIATIONS: Final = 3.0  # of both medians together
_LEAST: Final = 0.05  # of the old median: smaller differences are nobody's business


class Verdict(StrEnum):
    """The difference of a figure."""

    BETTER = "better"
    WORSE = "worse"
    SAME = "same"
    NEW = "new"
    GONE = "gone"


@frozen(kw_only=True)
class Compared:
    """One figure in two reports.

    Attributes:
        label: Part, name and unit.
        old: In the first report; None where it lacks the figure.
        new: In the second one; likewise.
    """

    label: tuple[str, str, str]
    old: Measurement | None
    new: Measurement | None

    @property
    def verdict(self) -> Verdict:
        """By medians, beyond the noise of both."""
        if self.old is None or self.new is None:
            return Verdict.NEW if self.old is None else Verdict.GONE
        noise = _DEVIATIONS * (self.old.spread**2 + self.new.spread**2) ** 0.5
        change = self.new.median - self.old.median
        if abs(change) <= max(noise, _LEAST * abs(self.old.median)):
            return Verdict.SAME
        return Verdict.WORSE if change > 0 else Verdict.BETTER


def compare(old: Iterable[Measurement], new: Iterable[Measurement]) -> Iterator[Compared]:
    """All figures of both reports, in the order of the new one, then those that are gone."""
    before, after = ({(each.part, each.name, each.unit): each for each in some} for some in (old, new))
    for key in [*after, *(key for key in before if key not in after)]:
        yield Compared(label=key, old=before.get(key), new=after.get(key))


def line(found: Compared) -> str:
    """One line of the comparison."""
    part, name, unit = found.label
    figures = " -> ".join("-" if each is None else f"{each.median:.3g}" for each in (found.old, found.new))
    return f"{found.verdict:<8}{part:<10}{name:<72}{figures} {unit}"


def main(arguments: Sequence[str]) -> int:
    """Print the comparison; the exit status."""
    if len(arguments) != 2:
        print("usage: python -m benchmarks.bench.compare OLD.json NEW.json", file=sys.stderr)
        return 2
    try:
        (old_machine, old), (new_machine, new) = (read(Path(path)) for path in arguments)
    except (OSError, ValueError) as error:
        print(f"bench-compare: {error}", file=sys.stderr)
        return 2
    for name in old_machine.keys() | new_machine.keys():
        if name not in {"commit", "load"} and old_machine.get(name) != new_machine.get(name):
            print(f"other {name}: {old_machine.get(name)} -> {new_machine.get(name)}: times do not compare, ratios do")
    found = list(compare(old, new))
    for each in found:
        print(line(each))
    return int(any(each.verdict is Verdict.WORSE for each in found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
