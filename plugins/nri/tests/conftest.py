"""A gate beside a stand-in for the runtime."""

import pytest

from mnp_core.api import Admission, Decision
from mnp_core.testing.gatekeeper import FakeGatekeeper, wait_until
from mnp_nri import NriGate
from plugins.nri.tests.standin import Runtime


class World:
    """A runtime, a gate that holds its pods, and the agent behind it."""

    def __init__(self, runtime, keeper):
        self.runtime, self.keeper, self.gate = runtime, keeper, NriGate(runtime.path)

    def open(self):
        self.gate.open(self.keeper)
        self.wait()
        return self

    def wait(self):
        wait_until(lambda: not self.gate.problem, "the gate does not hold")
        assert self.runtime.plugin.synchronized.wait(10)


@pytest.fixture
def world(tmp_path):
    made = []

    def make(**options):
        runtime = Runtime(tmp_path / "nri.sock", **options)
        made.append(World(runtime, FakeGatekeeper(Decision(admission=Admission.IN_FORCE))))
        return made[-1]

    yield make
    for each in made:
        each.gate.close()
        each.runtime.stop_listening()
