"""Standard tests of gates: a pod starts when the agent says so, and no other pod waits for it."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager
from ipaddress import ip_address
from pathlib import Path

import pytest

from mnp_core.api import Admission, Decision, Gate, GateInterface, PodStart
from mnp_core.classes import frozen
from mnp_core.model import ObjectName
from mnp_core.testing.conformance.base import Conformance, leave_out, missing_hook, shown
from mnp_core.testing.corpus import HOSTILE_TEXTS
from mnp_core.testing.gatekeeper import FakeGatekeeper, wait_until

_IN_FORCE = Decision(admission=Admission.IN_FORCE)
_REASON = 'pod demo/p0: rules are not in force: see "kubectl describe pod" é'
_SECONDS = 10.0  # for what has to happen, on a busy machine too
_AT_ONCE = 16
_LONGEST = 1500  # characters of a problem


@frozen
class Start:
    """The end of a pod's start, as the runtime sees it.

    Attributes:
        admitted: Whether the pod's containers start.
        reason: Of a refusal, with what is around it in the runtime's words.
    """

    admitted: bool
    reason: str = ""


@frozen(kw_only=True)
class Gated:
    """A runtime and its gate, which is not open yet.

    Attributes:
        gate: The gate.
        start: Starts a pod on the runtime's side, from the sandbox on, and returns at once.
        stop: Ends that pod's sandbox on the runtime's side, and returns when the gate has been told.
        outage: Keeps the gate from holding pods for the time of a context: the runtime is down, a file is missing.
        seen: What of a description a gate of this sort can see. By default all.
        limit: Seconds after which the runtime no longer waits for the gate; None if it waits longer than a test can.
    """

    gate: Gate
    start: Callable[[PodStart], Future[Start]]
    stop: Callable[[PodStart], None]
    outage: Callable[[], AbstractContextManager[None]]
    seen: Callable[[PodStart], PodStart] = lambda start: start
    limit: float | None = None


class GateConformance(Conformance, standard=True):
    """For an `mnp_core.api.Gate`."""

    def gated(self) -> AbstractContextManager[Gated]:
        """Make a runtime, or a stand-in, with the gate beside it: define this."""
        raise missing_hook(self, "gated")

    # --- helpers --------------------------------------------------------------------------------------------------

    def pod(self, number: int = 0, text: str = "") -> PodStart:
        """A pod with a sandbox, whose namespace, names, UID and annotation are the text, if one is given."""
        return PodStart(
            pod=ObjectName(text or "demo", text or f"p{number}"),
            uid=text or f"00000000-0000-0000-0000-{number:012}",
            netns=f"/run/netns/cni-{number}",
            interfaces=(GateInterface(name="net1", network="demo/data", addresses=(ip_address("10.0.0.7"),)),),
            annotations={"k8s.v1.cni.cncf.io/networks": text or "data"},
        )

    @contextmanager
    def opened(self, keeper: FakeGatekeeper) -> Iterator[Gated]:
        """A world whose gate holds pods; it is closed in the end."""
        with self.gated() as world:
            world.gate.open(keeper)
            try:
                wait_until(lambda: not world.gate.problem, "the gate does not hold")
                yield world
            finally:
                keeper.decide(_IN_FORCE)
                world.gate.close()

    # --- decisions ------------------------------------------------------------------------------------------------

    def test_a_start_is_held_until_the_answer(self) -> None:
        """Containers never run before their rules are in force."""
        keeper = FakeGatekeeper()
        with self.opened(keeper) as world:
            start = world.start(self.pod())
            keeper.wait_for(lambda keeper: keeper.asked)
            time.sleep(0.1)
            assert not start.done(), "the pod starts without an answer"
            keeper.decide(_IN_FORCE)
            assert start.result(_SECONDS).admitted

    @pytest.mark.parametrize("admission", [each for each in Admission if each is not Admission.REFUSED])
    def test_admitted_pods_start(self, admission: Admission) -> None:
        """In force, denied or open: each has had its say in the agent."""
        keeper = FakeGatekeeper(Decision(admission=admission, reason="so"))
        with self.opened(keeper) as world:
            assert world.start(self.pod()).result(_SECONDS).admitted

    def test_a_refusal_refuses_and_says_why(self) -> None:
        """The runtime gets the reason, so that the kubelet can show it on the pod."""
        keeper = FakeGatekeeper(Decision(admission=Admission.REFUSED, reason=_REASON))
        with self.opened(keeper) as world:
            start = world.start(self.pod()).result(_SECONDS)
            assert not start.admitted
            assert _REASON in start.reason

    def test_a_held_pod_holds_no_other(self) -> None:
        """S6: many pods start at once; one whose rules do not come is alone."""
        keeper = FakeGatekeeper()
        held, *others = (self.pod(number) for number in range(_AT_ONCE))
        with self.opened(keeper) as world:
            waiting = world.start(held)
            keeper.wait_for(lambda keeper: keeper.asked)
            starts = [world.start(each) for each in others]
            keeper.wait_for(lambda keeper: len(keeper.asked) == _AT_ONCE)
            keeper.decide(_IN_FORCE, *(each.pod for each in others))
            assert all(start.result(_SECONDS).admitted for start in starts)
            assert not waiting.done()
            keeper.decide(_IN_FORCE)
            assert waiting.result(_SECONDS).admitted

    def test_an_agent_that_gives_no_decision_refuses(self) -> None:
        """The runtime would go on without one, so the gate's answer comes before its limit, and later pods are held."""
        keeper = FakeGatekeeper(punctual=False)
        with self.opened(keeper) as world:
            if world.limit is None:
                leave_out("the runtime waits for this gate as long as it takes")
            start = world.start(self.pod()).result(_SECONDS)
            assert not start.admitted
            keeper.decide(_IN_FORCE)
            assert world.start(self.pod(1)).result(_SECONDS).admitted
            assert world.gate.problem == ""

    # --- descriptions ---------------------------------------------------------------------------------------------

    def test_a_pod_is_described_as_it_is(self) -> None:
        """Pod, UID, path, and what the gate can see of annotations and interfaces."""
        keeper = FakeGatekeeper(_IN_FORCE)
        with self.opened(keeper) as world:
            world.start(self.pod()).result(_SECONDS)
            assert keeper.asked[0] == world.seen(self.pod())
            assert keeper.asked[0].annotations == world.seen(self.pod()).annotations

    @pytest.mark.parametrize("text", HOSTILE_TEXTS, ids=shown)
    def test_hostile_texts_arrive_unchanged(self, text: str) -> None:
        """S6: they are data. A gate that cannot carry one refuses the pod, and goes on."""
        keeper = FakeGatekeeper(_IN_FORCE)
        with self.opened(keeper) as world:
            hostile = self.pod(text=text)
            if world.start(hostile).result(_SECONDS).admitted:
                assert keeper.asked[0] == world.seen(hostile)
            assert world.start(self.pod(1)).result(_SECONDS).admitted
            assert world.gate.problem == ""

    def test_a_pod_that_stops_is_forgotten(self) -> None:
        """By its own path: a newer sandbox of the same pod stays."""
        keeper, pod = FakeGatekeeper(_IN_FORCE), self.pod()
        with self.opened(keeper) as world:
            world.start(pod).result(_SECONDS)
            world.stop(pod)
            keeper.wait_for(lambda keeper: keeper.gone)
            assert {(each.pod, each.uid, each.netns) for each in keeper.gone} == {(pod.pod, pod.uid, pod.netns)}

    # --- life -----------------------------------------------------------------------------------------------------

    def test_an_outage_is_a_problem_and_passes(self) -> None:
        """It says why pods are not held; once it is over they are, without anybody's help."""
        keeper = FakeGatekeeper(_IN_FORCE)
        with self.opened(keeper) as world:
            with world.outage():
                wait_until(lambda: world.gate.problem, "the outage is no problem")
                problem = world.gate.problem
                assert problem.isprintable()
                assert len(problem) <= _LONGEST
            wait_until(lambda: not world.gate.problem, "the problem stays")
            keeper.decide(None)
            start = world.start(self.pod(1))
            keeper.wait_for(lambda keeper: self.pod(1).pod in [each.pod for each in keeper.asked])
            keeper.decide(_IN_FORCE)
            assert start.result(_SECONDS).admitted

    def test_opening_waits_for_nothing(self) -> None:
        """The agent starts, and enforces, without a runtime; the gate connects when there is one."""
        keeper = FakeGatekeeper(_IN_FORCE)
        with self.gated() as world:
            with world.outage():
                world.gate.open(keeper)
                wait_until(lambda: world.gate.problem, "the outage is no problem")
            wait_until(lambda: not world.gate.problem, "the problem stays")
            assert world.start(self.pod()).result(_SECONDS).admitted
            world.gate.close()

    def test_closing_ends_waiting_starts_and_leaves_nothing(self) -> None:
        """A held pod does not start by the way; no thread and no descriptor of the gate stays."""
        keeper = FakeGatekeeper()
        with self.gated() as world:
            threads, descriptors = set(threading.enumerate()), _descriptors()
            world.gate.open(keeper)
            wait_until(lambda: not world.gate.problem, "the gate does not hold")
            start = world.start(self.pod())
            keeper.wait_for(lambda keeper: keeper.asked)
            world.gate.close()
            assert not start.result(_SECONDS).admitted
            wait_until(lambda: set(threading.enumerate()) <= threads, "threads stay")
            wait_until(lambda: _descriptors() <= descriptors, "descriptors stay")


def _descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())
