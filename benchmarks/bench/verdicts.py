"""When the verdicts on packets to many pods change: `verdicts.c` sends them."""

import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Final, Literal

from attrs import frozen

from benchmarks.bench.compiler import compiled

PORT: Final = 53
"""UDP port of the packets."""

State = Literal["open", "closed"]
_LEAST, _PER_POD = 1_000, 20  # microseconds between two packets to one pod: at most 50,000 packets a second


class UnfinishedError(Exception):
    """Some verdicts did not change in time."""


@frozen(kw_only=True)
class Change:
    """One change of all verdicts.

    Attributes:
        began: `time.monotonic()` of before the change.
        answered: Milliseconds from before the change until the function that makes it has returned.
        pods: Milliseconds from before the change until the first packet with the new verdict was sent, for each pod.
    """

    began: float
    answered: float
    pods: tuple[float, ...]


class Verdicts:
    """Sends packets from one namespace to pods. Made by `packets_to`."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        """Take over a program that is ready."""
        self._process = process

    def begin(self, pods: Mapping[str, str]) -> None:
        """Name the receivers, once: addresses by paths of namespaces."""
        self._say("".join(f"{path} {address}\n" for path, address in pods.items()))
        self._hear("ready")

    def until(self, state: State, change: Callable[[], object], *, seconds: int = 60) -> Change:
        """Make a change, and measure until all flows are in a state; they have to be in the other one before.

        Raises:
            UnfinishedError: Some are not in time.
        """
        self._say(f"{state} {seconds}")
        self._hear("sending")
        began = time.monotonic_ns()
        change()
        answered = time.monotonic_ns() - began
        times = [int(word) for word in self._line().split()]
        if missing := times.count(0):
            raise UnfinishedError(f"{missing} of {len(times)} pods not {state} after {seconds} s")
        pods = tuple((each - began) / 1e6 for each in times)
        return Change(began=began / 1e9, answered=answered / 1e6, pods=pods)

    def _say(self, text: str) -> None:
        print(text, file=self._process.stdin, flush=True)

    def _hear(self, word: str) -> None:
        if self._line().strip() != word:
            raise RuntimeError(f"verdicts: expected {word!r}")

    def _line(self) -> str:
        if line := _stream(self._process.stdout).readline():
            return line
        raise RuntimeError(f"verdicts: {_stream(self._process.stderr).read().strip()}")


def _stream(pipe: IO[str] | None) -> IO[str]:
    if pipe is None:
        raise RuntimeError("verdicts: started without pipes")
    return pipe


@contextmanager
def packets_to(pods: Mapping[str, str], sender: str) -> Iterator[Verdicts]:
    """Have packets ready.

    Args:
        pods: Addresses, by paths of the pods' network namespaces.
        sender: Path of the sender's.
    """
    with TemporaryDirectory() as folder:
        program = compiled(Path(__file__).with_suffix(".c"), Path(folder))
        command = [str(program), sender, str(PORT), str(max(_LEAST, _PER_POD * len(pods)))]
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        with subprocess.Popen(command, text=True, **pipes) as process:  # noqa: S603 - a program compiled above
            try:
                found = Verdicts(process)
                found.begin(pods)
                yield found
            finally:
                process.kill()
