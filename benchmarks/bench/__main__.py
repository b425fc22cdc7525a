"""Measure, print the table, write the report.

A part that this machine does not allow is left out: a line says why, and how it could be measured. Ends with 1 if a
target is missed, with 2 for wrong arguments.
"""

import argparse
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Final

from benchmarks.bench.measurement import Measurement, Unavailable
from benchmarks.bench.report import heading, line, machine, missed, write

_PARTS: Final = ("compile", "apply", "packets", "enforced", "start", "server", "memory", "beside")


def main(arguments: Sequence[str]) -> int:
    """Run the chosen parts; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bench", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(_PARTS)} [default: all]")
    parser.add_argument("--quick", action="store_true", help="smaller sizes, fewer rounds")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write a report for make bench-compare")
    options = parser.parse_args(arguments)
    if unknown := [part for part in options.parts if part not in _PARTS]:
        parser.error(f"no such part: {', '.join(unknown)}; there are {', '.join(_PARTS)}")
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # what was made is removed then, too
    where, found = machine(), list[Measurement]()
    print(*(f"{name} {value}" for name, value in where.items()), sep=", ")
    print(heading())
    for part in options.parts or _PARTS:
        try:
            for each in import_module(f"benchmarks.bench.{part}").measure(quick=options.quick):
                print(line(each), flush=True)
                found.append(each)
        except Unavailable as reason:
            print(f"{part}: not measured here: {reason}", flush=True)
    if options.json:
        write(options.json, found, where)
    for name in missed(found):
        print(f"over its target: {name}", file=sys.stderr)
    return int(bool(missed(found)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
