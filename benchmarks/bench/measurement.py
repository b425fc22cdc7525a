"""One figure of the table, with all its samples."""

import math
import statistics
from collections.abc import Sequence
from typing import Any

from attrs import asdict, field, frozen

_SPREAD_OF_MAD = 1.4826  # the median absolute deviation of a normal distribution is 1/1.4826 of its standard deviation


def _positive(samples: Sequence[float]) -> tuple[float, ...]:
    if not samples:
        raise ValueError("a measurement without samples")
    return tuple(samples)


class Unavailable(Exception):  # noqa: N818 # no fault: this machine lacks something
    """A part cannot be measured here; the message says why, and how it could be."""


@frozen(kw_only=True)
class Measurement:
    """One figure; less is better.

    Attributes:
        part: The part of the table.
        name: The measured thing; with the part it identifies the figure in other reports.
        unit: ``ms``, ``MiB``, ``x`` for a ratio of two things in turns, ``1`` for a pure number.
        samples: One for each round.
        target: The most that the figure may be; None without a target.
        judged: What the target is about: ``median`` or ``p99``.
        note: The method, where name and part do not say it.
    """

    part: str
    name: str
    unit: str
    samples: tuple[float, ...] = field(converter=_positive)
    target: float | None = None
    judged: str = "median"
    note: str = ""

    @property
    def median(self) -> float:
        """Half of the samples are less."""
        return statistics.median(self.samples)

    @property
    def p99(self) -> float:
        """The 99th percentile by rank: of fewer than 100 samples the largest."""
        return sorted(self.samples)[math.ceil(len(self.samples) * 0.99) - 1]

    @property
    def spread(self) -> float:
        """The standard deviation of the median, estimated from absolute deviations, which outliers do not move."""
        deviation = statistics.median(abs(sample - self.median) for sample in self.samples)
        return _SPREAD_OF_MAD * deviation * math.sqrt(math.pi / 2 / len(self.samples))

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None without one."""
        judged = self.p99 if self.judged == "p99" else self.median
        return None if self.target is None else judged <= self.target

    def as_json(self) -> dict[str, Any]:
        """All fields, and the figures that the table shows."""
        return {**asdict(self), "median": self.median, "p99": self.p99, "spread": self.spread, "met": self.met}

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> "Measurement":
        """The inverse of `as_json`; raises KeyError and TypeError for something else."""
        given = {name: raw[name] for name in ("part", "name", "unit", "samples", "target", "note")}
        return cls(**given, judged=raw.get("judged", "median"))


def exponent(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """The slope of costs over sizes on logarithmic axes (least squares): 0 for constant cost, 1 for linear growth."""
    fit = statistics.linear_regression([math.log(size) for size in sizes], [math.log(cost) for cost in costs])
    return fit.slope
