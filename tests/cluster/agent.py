"""The node agent as a plain process of this machine, so that it is killed and started again in a moment."""

import http.client
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import yaml
from prometheus_client.parser import text_string_to_metric_families

from scripts.testbed.patience import wait_for
from tests.cluster.control import free_ports
from tests.cluster.fixture import Bed
from tests.node.program import FINALIZED

PROGRAM = Path(sys.executable).with_name("multi-network-policy-node")
_FAREWELL = 15  # seconds


def _written(settings: Mapping[str, object], path: Path) -> Path:
    path.write_text(yaml.safe_dump(dict(settings)))
    return path


class AgentProcess:
    """One agent of the bed's node, alive or not; it finds pods through the node's own files."""

    def __init__(
        self,
        bed: Bed,
        log: Path,
        *,
        kubeconfig: Path | None = None,
        environment: Mapping[str, str] | None = None,
        settings: Mapping[str, object] | None = None,
    ) -> None:
        """Start nothing yet.

        Args:
            bed: Its cluster.
            log: File to which its output is appended.
            kubeconfig: Credentials other than the administrator's.
            environment: Variables besides those of this process.
            settings: Written into a file beside the log.
        """
        self.log = log
        self._port = free_ports(1)[0]
        # The client library writes a kubeconfig's keys into temporary files; a killed process leaves them.
        self._environment = {**os.environ, "TMPDIR": str(log.parent), **(environment or {})}
        self._process: subprocess.Popen[bytes] | None = None
        own: dict[str, object] = {"agent-socket": str(log.with_name("agent.sock"))}
        self._command = (
            str(PROGRAM),
            f"--kubeconfig={kubeconfig or bed.kubeconfig}",
            f"--host-prefix={bed.components.host_prefix}",
            f"--hostname-override={bed.node}",
            f"--listen=127.0.0.1:{self._port}",
            f"--settings={_written(own | dict(settings or {}), log.with_name('settings.yaml'))}",
        )

    def start(self) -> None:
        """Start it."""
        assert self._process is None, "it runs"
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self._environment
            )

    def start_and_wait(self) -> None:
        """Start it, and wait until it has handled every pod."""
        self.start()
        self.wait_ready()

    def wait_ready(self, patience: float = 60) -> None:
        """Wait until it reports ready."""

        def ready() -> bool:
            self.assert_alive()
            return self.readiness() == "ok"

        wait_for("the agent is ready", ready, patience=patience, interval=0.05)
        time.sleep(FINALIZED)

    def stop(self) -> None:
        """End it like a kubelet."""
        self.assert_alive()
        process, self._process = self._running(), None
        process.terminate()
        assert process.wait(_FAREWELL) == 0, self.said()

    def kill(self) -> None:
        """Kill it."""
        self.assert_alive()
        process, self._process = self._running(), None
        process.kill()
        process.wait()

    def close(self) -> None:
        """See that it has ended."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def assert_alive(self) -> None:
        """It must not have ended by itself."""
        assert self._running().poll() is None, f"the agent has ended: {self.said()}"

    def readiness(self) -> str:
        """The answer of /readyz, one line; empty without an answer."""
        try:
            return self._ask("/readyz").strip()
        except OSError:
            return ""

    def metric(self, name: str, **labels: str) -> float:
        """The sum of all series of a metric that have these labels."""
        return sum(
            sample.value
            for family in text_string_to_metric_families(self._ask("/metrics"))
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def said(self) -> str:
        """The end of its output, over all restarts."""
        return self.log.read_text(errors="replace")[-5000:]

    def _running(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "it was not started"
        return self._process

    def _ask(self, path: str) -> str:
        with closing(http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)) as connection:
            connection.request("GET", path)
            return connection.getresponse().read().decode()
