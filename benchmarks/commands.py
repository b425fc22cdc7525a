"""Cost of starting each command: `python -m benchmarks.commands`, from a checkout; labs are left out without root.

Processor time is user and system, children included, the least of several runs; instructions are user space's, by
valgrind's cachegrind: 20 times slower, and the same within 1 % on a busy machine. Imports are the least of three runs
with ``-X importtime``, own time by distribution. Commands that ask the agent or kubectl find neither: their cost is
that of imports, and of the error.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import NamedTuple

BIN = Path(sys.executable).parent
EXAMPLES = Path(__file__).parents[1] / "examples" / "quickstart"
ENDS = ("--from", "demo/client", "--to", "demo/web")
NO_AGENT = ("--socket", "/nonexistent")
IMPORT_TIME = re.compile(r"import time:\s+(\d+) \|\s+\d+ \|\s+(\S+)")
COUNT = re.compile(r"I\s+refs:\s+([\d,]+)")
WIDTH = 42

OFFLINE: Mapping[str, Sequence[str]] = {
    "python": ("python", "-c", "pass"),
    "mnp --version": ("mnp", "--version"),
    "mnp --help": ("mnp", "--help"),
    "mnp validate": ("mnp", "validate", str(EXAMPLES)),
    "mnp explain": ("mnp", "explain", str(EXAMPLES), *ENDS),
    "mnp matrix": ("mnp", "matrix", str(EXAMPLES)),
    "mnp diff": ("mnp", "diff", str(EXAMPLES), str(EXAMPLES)),
    "mnp render": ("mnp", "render", str(EXAMPLES)),
    "mnp plugins": ("mnp", "plugins"),
    "mnp plugin new": ("mnp", "plugin", "new", "blue-lan"),
    "mnp completion": ("mnp", "completion", "bash"),
    "mnp, completing a word": ("mnp",),
    "mnp status": ("mnp", "status", *NO_AGENT),
    "mnp top": ("mnp", "top", "--once", *NO_AGENT),
    "mnp denied": ("mnp", "denied", *NO_AGENT),
    "mnp compare": ("mnp", "compare", *ENDS, *NO_AGENT),
    "mnp trace": ("mnp", "trace", *ENDS, *NO_AGENT),
    "mnp cleanup": ("mnp", "cleanup", "--help"),
    "mnp admit": ("mnp", "admit", "--help"),
    "mnp aggregate": ("mnp", "aggregate", "--help"),
    "mnp cnigate install": ("mnp", "cnigate", "install", "--help"),
    "kubectl mnp --help": ("kubectl-mnp", "--help"),
    "kubectl mnp status": ("kubectl-mnp", "status"),
    "kubectl mnp top": ("kubectl-mnp", "top", "--once"),
    "kubectl mnp denied": ("kubectl-mnp", "denied"),
    "kubectl mnp explain": ("kubectl-mnp", "explain", *ENDS),
    "multi-network-policy-node --help": ("multi-network-policy-node", "--help"),
    "multi-network-policy-node, its imports": (
        "python",
        "-c",
        "import mnp_core.cli.node, mnp_core.telemetry.logs, mnp_core.node.assembly",
    ),
}
LAB: Mapping[str, Sequence[str]] = {
    "mnp lab --help": ("mnp", "lab", "--help"),
    "mnp lab get": ("mnp", "lab", "get"),
    "mnp lab run --help": ("mnp", "lab", "run", "--help"),
    "mnp lab run": ("mnp", "lab", "run", str(EXAMPLES)),
    "mnp lab test": ("mnp", "lab", "test", str(EXAMPLES)),
}
COMPLETING = {"_MNP_COMPLETE": "bash_complete", "COMP_WORDS": "mnp val", "COMP_CWORD": "1"}


class Run(NamedTuple):
    """A command as a program: its words, with the program's path, its environment, and its exit status."""

    words: Sequence[str]
    environment: Mapping[str, str]
    status: int

    def processor_seconds(self) -> float:
        """User and system time of one run, children included."""
        return self._end(self.words)[0]

    def instructions(self) -> int:
        """Instructions of the program itself, in user space."""
        valgrind = shutil.which("valgrind") or "valgrind"  # commands without kubectl have no PATH
        cachegrind = (valgrind, "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null")
        text = self._end([*cachegrind, sys.executable, *self._interpreted()])[1]
        return int(COUNT.findall(text)[-1].replace(",", ""))

    def imports(self) -> dict[str, tuple[int, int]]:
        """Distribution to microseconds of its modules' own imports, and to their number."""
        text = self._end([sys.executable, "-X", "importtime", *self._interpreted()])[1]
        own: dict[str, tuple[int, int]] = defaultdict(lambda: (0, 0))
        for microseconds, module in IMPORT_TIME.findall(text):
            package = _package(module)
            own[package] = own[package][0] + int(microseconds), own[package][1] + 1
        return own

    def _interpreted(self) -> Sequence[str]:
        return self.words[1:] if self.words[0] == sys.executable else self.words

    def _end(self, words: Sequence[str]) -> tuple[float, str]:
        """Processor time and standard error of one run in an empty folder."""
        with TemporaryDirectory() as folder, TemporaryFile() as errors:
            program = subprocess.Popen(  # noqa: S603 # our own programs, and no shell
                words,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                env=self.environment,
                cwd=folder,
            )
            _, status, usage = os.wait4(program.pid, 0)
            program.returncode = os.waitstatus_to_exitcode(status)
            errors.seek(0)
            text = errors.read().decode(errors="replace")
        if program.returncode != self.status:
            raise RuntimeError(f"{' '.join(words)}: ended with {program.returncode}: {text[-2000:]}")
        return usage.ru_utime + usage.ru_stime, text


def _package(module: str) -> str:
    package = module.split(".", maxsplit=1)[0]
    return "standard library" if package in sys.stdlib_module_names else package


def _runs(wanted: str) -> Iterator[tuple[str, Run]]:
    for name, (program, *words) in (OFFLINE | (LAB if os.geteuid() == 0 else {})).items():
        if fnmatch(name, wanted):
            path = sys.executable if program == "python" else str(BIN / program)
            search = "/nonexistent" if program.startswith("kubectl") else os.environ["PATH"]
            more = COMPLETING if "completing" in name else {}
            fails = (program == "kubectl-mnp" and "--help" not in words) or "/nonexistent" in words
            yield name, Run([path, *words], {**os.environ, "PATH": search, **more}, status=2 if fails else 0)


def _largest(run: Run, most: int = 4) -> tuple[int, str]:
    found = [run.imports() for _ in range(3)]
    least = {package: min(each[package][0] for each in found) for package in found[0]}
    largest = sorted(least, key=lambda package: -least[package])[:most]
    text = ", ".join(f"{package} {least[package] / 1000:.0f}" for package in largest)
    return sum(number for _, number in found[0].values()), text


def main(arguments: Sequence[str] | None = None) -> None:
    """Print one line for each command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", default="*", metavar="PATTERN", help="names of commands, such as 'mnp lab*'")
    parser.add_argument("--runs", type=int, default=7, help="runs, of which the least counts")
    parser.add_argument("--instructions", action="store_true", help="count them, too (needs valgrind)")
    options = parser.parse_args(arguments)
    runs = list(_runs(options.only))
    if not runs:
        parser.error(f"--only {options.only!r}: no command has such a name; without it all are measured")
    counted = f"{'million':>9}" if options.instructions else ""
    print(f"{'':<{WIDTH}}{'ms':>6}{counted}{'modules':>9}  largest imports, ms")
    for name, run in runs:
        run.processor_seconds()  # byte code, file cache
        seconds = min(run.processor_seconds() for _ in range(options.runs))
        counted = f"{run.instructions() / 1e6:9.0f}" if options.instructions else ""
        modules, largest = _largest(run)
        print(f"{name:<{WIDTH}}{seconds * 1000:6.0f}{counted}{modules:9}  {largest}", flush=True)


if __name__ == "__main__":
    main()
