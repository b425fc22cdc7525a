"""No packet of a denied flow passes while pods start, with a gate; without one, how long it does (docs/security.md)."""

import os
import statistics
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

from scripts.testbed import place
from scripts.testbed.kind import chosen
from tests.cluster.agent import AgentProcess
from tests.cluster.definitions import MACVLAN, OURS, define
from tests.cluster.never_open import Starts, Unrest

STARTS = int(os.environ.get("MNP_STARTS", "16"))  # make test-gates: 1,000
STARTS_BESIDE_KILLS = 16  # of more, some wait for minutes: the kubelet pauses longer after each refusal
NRI = {"gates": ["nri"], "gate-settings": {"nri-socket": str(place.NODE_FILES / "run-nri/nri.sock")}}
CNIGATE = {"gates": ["cnigate"], "gate-settings": {"cnigate-socket": str(place.NODE_FILES / "run-mnp/gate.sock")}}
CHAINED = {"type": "mnp-cnigate"}
MNP = Path(sys.executable).with_name("mnp")

pytestmark = pytest.mark.timeout(300 + 20 * STARTS)


class Killed:
    """An agent that is killed again and again, and started again at once.

    Three seconds from when it is ready: on a busy machine it needs as many to start, and then no pod would ever start.
    """

    def __init__(self, agent):
        self.agent, self.times = agent, 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work)

    def __enter__(self):
        self.agent.start_and_wait()
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()

    def _work(self):
        while not self._stop.wait(3):
            self.agent.kill()
            self.times += 1
            self.agent.start_and_wait()


def agent_of(bed, folder, settings):
    for definition in (OURS, MACVLAN):
        define(bed.objects, definition)
    return closing(AgentProcess(bed, folder / "agent.log", settings=settings))


def started(bed, scene, folder, settings, *chained):
    """Start pods beside an agent with these settings; return the hold times and the observed packets of each pod."""
    with agent_of(bed, folder, settings) as agent:
        agent.start_and_wait()
        starts = Starts(scene, folder, *chained)
        with Unrest(scene):
            seen = starts.run(STARTS)
        held = {kind: agent.metric("mnp_gate_hold_seconds_" + kind, admission="InForce") for kind in ("sum", "count")}
        return held, seen


def line(kind, seen, held=None):
    load = Path("/proc/loadavg").read_text().split()[0]
    tried, came_in, got_out = (sum(getattr(each, name) for each in seen) for name in ("tried", "came_in", "got_out"))
    last = sorted(each.last for each in seen if each.last >= 0)
    until = f", the last at {statistics.median(last):.0f} ms (median), {last[-1]:.0f} ms (longest)" if last else ""
    mean = f"; held {held['sum'] / held['count'] * 1000:.0f} ms on average" if held and held["count"] else ""
    passed = f"packets of denied flows that passed: in {came_in}, out {got_out} of {tried}"
    return f"{kind}: {len(seen)} pod starts; {passed}; {len(last)} pods got some{until}{mean}; load {load}"


def opened(seen):
    assert all(each.tried for each in seen), "else nothing could pass"
    return [each for each in seen if each.came_in or each.got_out]


@pytest.fixture
def plugin(bed):  # noqa: ARG001 - it is installed on the bed's node
    """The chained CNI plugin is on the node."""
    subprocess.run(["make", "--no-print-directory", "cnigate"], cwd=place.CHECKOUT, check=True, capture_output=True)
    subprocess.run([MNP, "cnigate", "install", place.NODE_FILES / "cni-bin"], check=True, capture_output=True)
    yield
    (place.NODE_FILES / "cni-bin/mnp-cnigate").unlink()


def test_with_nri_no_packet_of_a_denied_flow_passes_while_pods_start(bed, scene, tmp_path, figures):
    if chosen().name == "1.20":
        pytest.skip("containerd 1.6 has no NRI")
    held, seen = started(bed, scene, tmp_path, NRI)
    figures.append(line("gate nri", seen, held))
    assert held["count"] >= STARTS, "else no start was held"
    assert opened(seen) == []


@pytest.mark.usefixtures("plugin")
def test_with_a_chained_cni_plugin_no_packet_of_a_denied_flow_passes_while_pods_start(bed, scene, tmp_path, figures):
    held, seen = started(bed, scene, tmp_path, CNIGATE, CHAINED)
    figures.append(line("gate cnigate", seen, held))
    assert held["count"] >= STARTS, "else no start was held"
    assert opened(seen) == []


@pytest.mark.usefixtures("plugin")
def test_no_packet_passes_when_the_agent_is_killed_while_the_gate_holds_pods(bed, scene, tmp_path, figures):
    """Starts are refused until an agent is back; the kubelet tries again."""
    with agent_of(bed, tmp_path, CNIGATE) as agent, Killed(agent) as killed:
        seen = Starts(scene, tmp_path, CHAINED).run(min(STARTS, STARTS_BESIDE_KILLS))
    figures.append(line(f"gate cnigate, agent killed {killed.times} times", seen))
    assert killed.times >= 2
    assert opened(seen) == []


def test_the_window_without_a_gate_is_measured(bed, scene, tmp_path, figures):
    """A figure of docs/security.md: how many pods, and for how long, packets reach before the rules are written."""
    held, seen = started(bed, scene, tmp_path, {})
    figures.append(line("no gate", seen, held))
    assert held["count"] == 0


def test_without_an_agent_packets_pass_both_ways(scene, tmp_path):
    """Else none of the tests above could fail."""
    seen = Starts(scene, tmp_path).run(2)
    assert all(each.came_in and each.got_out for each in seen)
