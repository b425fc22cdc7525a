"""The standard tests of a gate, against the stand-in for a runtime."""

from contextlib import contextmanager

import pytest
from attrs import evolve

from mnp_core.testing.conformance import GateConformance
from mnp_core.testing.conformance.gate import Gated
from mnp_nri import NriGate
from plugins.nri.tests.standin import Runtime

LIMIT = 2.0


class NriTests(GateConformance):
    old = False

    @pytest.fixture(autouse=True)
    def _socket(self, tmp_path):
        self.path = tmp_path / "nri.sock"

    @contextmanager
    def gated(self):
        runtime = Runtime(self.path, timeout=LIMIT if self.limited else 10, old=self.old)
        try:
            yield Gated(
                gate=NriGate(runtime.path),
                start=runtime.start,
                stop=runtime.stop,
                outage=runtime.outage,
                seen=lambda start: evolve(start, interfaces=()),
                limit=LIMIT,
            )
        finally:
            runtime.stop_listening()

    @pytest.fixture(autouse=True)
    def _limited(self, request):
        """These wait for the runtime's limit; to the others a busy machine must not look like it."""
        self.limited = any(word in request.node.name for word in ("no_decision", "closing"))


class TestNri(NriTests):
    pass


class TestNriBefore012(NriTests):
    """Events of pods by StateChange: containerd 1.7, CRI-O 1.26."""

    old = True
