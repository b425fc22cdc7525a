"""The gates in use: opened, looked after and closed with the node."""

from collections.abc import Mapping
from typing import Final

import structlog
from attrs import field

from mnp_core.api import Gate, Gatekeeper
from mnp_core.classes import define
from mnp_core.closing import Closing
from mnp_core.node.observer import NodeObserver
from mnp_core.sources.kubernetes.fetch import PodFetcher

_log: Final[structlog.stdlib.BoundLogger] = structlog.stdlib.get_logger(__name__)


@define
class Gates(Closing):
    """The gates in use, by name. Their problems are logged and counted when they change."""

    gates: Mapping[str, Gate]
    fetcher: PodFetcher
    observer: NodeObserver
    _problems: dict[str, str] = field(factory=dict)

    def open(self, keeper: Gatekeeper) -> None:
        """Open all; raises their errors."""
        for gate in self.gates.values():
            gate.open(keeper)

    def tend(self) -> None:
        """Report changed problems; to be called about every second."""
        self.fetcher.tend()
        for name, gate in self.gates.items():
            problem = gate.problem
            self.observer.gate_state(name, connected=not problem)
            if self._problems.get(name) == problem:
                continue
            self._problems[name] = problem
            if problem:
                _log.warning("pods start without waiting for their rules", gate=name, problem=problem)
            else:
                _log.info("pods wait for their rules", gate=name)

    def close(self) -> None:
        """Close all."""
        for gate in self.gates.values():
            gate.close()
