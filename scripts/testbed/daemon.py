"""A process of the bed that runs in the background."""

import os
import signal
from collections.abc import Sequence
from pathlib import Path

from attrs import field, frozen

from scripts.testbed import cgroup, place
from scripts.testbed.command import run
from scripts.testbed.errors import TestBedError
from scripts.testbed.patience import wait_for

# $0 the group, $1 the file for the process number; the rest is the program, which takes this shell's place.
_START = 'echo $$ >"$0/cgroup.procs" && echo $$ >"$1.new" && mv "$1.new" "$1" && shift && exec "$@" >>"$LOG" 2>&1'


@frozen(kw_only=True)
class Daemon:
    """A program that is started once and ended by name. It is known by its group and number, so never mixed up.

    Attributes:
        name: Of the group, the log and the file that holds its number.
        command: Program and arguments.
        prefix: The command that moves it into the node's mount namespace.
        environment: Variables besides those of this process.
    """

    name: str
    command: Sequence[object]
    prefix: Sequence[object] = ()
    environment: dict[str, str] = field(factory=dict)

    @property
    def log(self) -> Path:
        """The log file of its output."""
        return place.LOGS / f"{self.name}.log"

    @property
    def pid(self) -> int | None:
        """Its number while it runs."""
        return pid_of(self.name)

    def start(self) -> None:
        """Start it unless it runs."""
        if self.pid is not None:
            return
        place.LOGS.mkdir(parents=True, exist_ok=True)
        _pid_file(self.name).unlink(missing_ok=True)
        group = cgroup.for_daemon(self.name)
        group.mkdir(parents=True, exist_ok=True)
        shell = ("sh", "-c", _START, group, _pid_file(self.name))
        environment = {**os.environ, **self.environment, "LOG": str(self.log)}
        run("setsid", "--fork", *self.prefix, *shell, *self.command, env=environment)
        wait_for(f"{self.name} is started", lambda: _pid_file(self.name).exists(), patience=20, interval=0.01)

    def require(self) -> None:
        """Raise the end of its log if it has ended.

        Raises:
            TestBedError: It does not run.
        """
        if self.pid is None:
            said = self.log.read_text(errors="replace")[-2000:] if self.log.exists() else "nothing"
            raise TestBedError(f"{self.name} has ended; its log ends with: {said}")


def pid_of(name: str) -> int | None:
    """The number of a component while it runs."""
    try:
        pid = int(_pid_file(name).read_text())
    except (FileNotFoundError, ValueError):
        return None
    return pid if pid in cgroup.members(cgroup.for_daemon(name)) else None


def stop(name: str, *, by: signal.Signals = signal.SIGTERM, patience: float = 30) -> None:
    """End a component (not its children) by SIGTERM or signal `by`, and wait; by force after `patience` seconds."""
    for number in (by, signal.SIGKILL):
        pid = pid_of(name)
        if pid is None:
            return
        os.kill(pid, number)
        try:
            wait_for(f"{name} has ended", lambda: pid_of(name) is None, patience=patience, interval=0.02)
        except TestBedError:
            continue


def _pid_file(name: str) -> Path:
    return place.ROOT / "pids" / name
