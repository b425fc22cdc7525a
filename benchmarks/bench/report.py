"""Reports: the table on standard output, and JSON with machine, versions and samples."""

import json
import os
import platform
import subprocess
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from benchmarks.bench.measurement import Measurement

FORMAT: Final = 1
_LINE: Final = "{:<10}{:<92}{:>12}{:>10}{:>8}  {:<4}"


def machine() -> dict[str, Any]:
    """The machine and the versions that a report depends on."""
    return {
        "kernel": platform.release(),
        "architecture": platform.machine(),
        "processors": os.cpu_count(),
        "python": platform.python_version(),
        "mnp": version("mnp-core"),
        "commit": _commit(),
        "load": os.getloadavg()[0],
    }


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty", "--exclude", "*"]
    done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False)  # noqa: S603 # no input
    return done.stdout.strip()


def heading() -> str:
    """The first line of the table."""
    return _LINE.format("part", "figure", "median", "p99", "target", "met")


def line(found: Measurement) -> str:
    """One line of the table."""
    met = {True: "yes", False: "NO", None: ""}[found.met]
    target = "" if found.target is None else f"{found.target:g}"
    return _LINE.format(found.part, found.name, _figure(found.median, found.unit), _figure(found.p99, ""), target, met)


def _figure(value: float, unit: str) -> str:
    return f"{value:.3g} {unit}".strip() if value < 1000 else f"{value:.0f} {unit}".strip()


def write(path: Path, found: Sequence[Measurement], where: dict[str, Any]) -> None:
    """Write a report; raises OSError."""
    report = {"format": FORMAT, "machine": where, "measurements": [each.as_json() for each in found]}
    path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def read(path: Path) -> tuple[dict[str, Any], tuple[Measurement, ...]]:
    """Read a report: machine and measurements.

    Raises:
        ValueError: It is no report, or one of another format.
        OSError: The file cannot be read.
    """
    raw = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(raw, dict) or raw.get("format") != FORMAT:
        raise ValueError(f"{path}: not a report of format {FORMAT} of `make bench`")
    try:
        return raw["machine"], tuple(map(Measurement.from_json, raw["measurements"]))
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path}: a malformed report: {error!r}") from error


def missed(found: Iterable[Measurement]) -> list[str]:
    """The figures over their target."""
    return [f"{each.part}: {each.name}" for each in found if each.met is False]
