"""The engines that are measured: ours, and others whose programs are in the folder of MNP_BENCH_PEERS."""

import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from attrs import frozen

from benchmarks.bench.manifests import NODE
from benchmarks.bench.measurement import Unavailable
from scripts.testbed import place

PEERS: Final = "MNP_BENCH_PEERS"
WITHOUT_EXAMPLE: Final = "plugins: {disabled: [example]}\n"
"""Settings of our agent: the example of a backend, which is installed in a checkout and on no node, runs a program in
every pod to look for rules of its own."""

_LISTEN: Final = "127.0.0.1:9471"
_FAREWELL: Final = 15  # seconds


@frozen(kw_only=True)
class Engine:
    """An engine.

    Attributes:
        name: In the table.
        command: Of its node agent: from the runtime's socket and a folder for files.
    """

    name: str
    command: Callable[[Path, Path], Sequence[str]]

    @contextmanager
    def run(self, socket: Path) -> Iterator["Running"]:
        """Start it; it is ended afterwards."""
        with TemporaryDirectory() as folder:
            log = Path(folder) / "log"
            environment = {**os.environ, "KUBECONFIG": str(place.KUBECONFIG), "TMPDIR": folder}
            with log.open("wb") as output:
                command = self.command(socket, Path(folder))
                began = time.monotonic()
                process = subprocess.Popen(command, stdout=output, stderr=output, env=environment)  # noqa: S603 # chosen by the user
            try:
                yield Running(process=process, began=began, log=log)
            finally:
                _end(process)


@frozen(kw_only=True)
class Running:
    """An engine that runs.

    Attributes:
        process: Its process.
        began: `time.monotonic()` of before its start.
        log: File with its output.
    """

    process: "subprocess.Popen[bytes]"
    began: float
    log: Path

    def ready(self, patience: float = 120) -> float:
        """Seconds from the start until our agent has reported ready."""
        while time.monotonic() < self.began + patience:
            try:
                with urllib.request.urlopen(f"http://{_LISTEN}/readyz", timeout=5):
                    return time.monotonic() - self.began
            except OSError:
                self.check()
                time.sleep(0.01)
        raise RuntimeError(f"not ready after {patience:g} s: {self.said()}")

    def enforced(self, pods: int, patience: float = 300) -> None:
        """Wait until our agent says that so many pods have rules in force."""
        until, wanted = time.monotonic() + patience, f"mnp_enforced_pods {pods:.1f}"
        while time.monotonic() < until:
            with urllib.request.urlopen(f"http://{_LISTEN}/metrics", timeout=30) as answer:
                if wanted in answer.read().decode().splitlines():
                    return
            self.check()
            time.sleep(0.2)
        raise RuntimeError(f"rules are not in force in {pods} pods after {patience:g} s: {self.said()}")

    def check(self) -> None:
        """Raise RuntimeError if it has ended by itself."""
        if self.process.poll() is not None:
            raise RuntimeError(f"it has ended with {self.process.returncode}: {self.said()}")

    def said(self) -> str:
        """The end of its output."""
        return self.log.read_text(errors="replace")[-1000:]

    def memory(self, field: str) -> float:
        """MiB: ``Rss``, ``Pss`` or another line of smaps_rollup."""
        lines = Path(f"/proc/{self.process.pid}/smaps_rollup").read_text().splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{field}:"))

    def seconds_of_processor(self) -> float:
        """Of all its threads until now."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def ours() -> Engine:
    """The agent of this checkout."""
    return Engine(name="mnp", command=_ours)


def peers() -> list[Engine]:
    """The other engines whose programs are there.

    Raises:
        Unavailable: None is.
    """
    folder = os.environ.get(PEERS, "")
    found = [
        Engine(name=name, command=_peer(Path(folder) / name))
        for name in _PEERS
        if folder and os.access(Path(folder) / name, os.X_OK)
    ]
    if not found:
        raise Unavailable(f"no programs of other engines: let {PEERS} name a folder with {' or '.join(_PEERS)}")
    return found


def _ours(socket: Path, folder: Path) -> Sequence[str]:
    settings = folder / "settings.yaml"
    settings.write_text(WITHOUT_EXAMPLE)
    return (
        str(Path(sys.executable).with_name("multi-network-policy-node")),
        f"--kubeconfig={place.KUBECONFIG}",
        f"--hostname-override={NODE}",
        f"--container-runtime-endpoint={socket}",
        f"--listen={_LISTEN}",
        f"--agent-socket={folder / 'agent.sock'}",
        f"--settings={settings}",
        "--log-level=warning",
    )


_PEERS: Final = ("multi-networkpolicy-iptables", "multi-networkpolicy-nftables")


def _peer(program: Path) -> Callable[[Path, Path], Sequence[str]]:
    """Both take the same options (pkg/server/options.go of the one, cmd/main.go of the other)."""
    return lambda socket, _folder: (
        str(program),
        f"--kubeconfig={place.KUBECONFIG}",
        f"--hostname-override={NODE}",
        f"--container-runtime-endpoint={socket}",
        "--network-plugins=macvlan",
    )


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(_FAREWELL)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
