"""Gates that are broken on purpose; see `broken_backends.py`."""

import threading
from concurrent.futures import Future

from attrs import evolve

from mnp_core.api import Admission
from mnp_core.testing.conformance.gate import Start
from tests.conformance_kit.sound import Door, GateTests

MUST_FAIL = {}
"""Class to the check that must fail, what is wrong, and words of the failure."""


def gate(name, check, wrong, *, because="assert", **methods):
    """Make a gate that is right but for one thing."""
    door = type(name, (Door,), methods)
    made = type(f"Test{name}", (GateTests,), {"__module__": __name__, "__doc__": wrong, "door": door})
    globals()[made.__name__] = made
    MUST_FAIL[made.__name__] = (check, wrong, because)


def describing(change):
    return {"decide": lambda self, start: Door.decide(self, change(start))}


def asks_afterwards(self, start):
    answer = Future()
    answer.set_result(Start(admitted=True))
    self.run(lambda: self.decide(start))
    return answer


def admits_what_is_in_force(self, start):
    admission = self.keeper.admit(start, seconds=0.5).admission
    return Start(admitted=admission is Admission.IN_FORCE)


def decides_one_by_one(self, start):
    with one:
        return Door.decide(self, start)


def waits_for_ever(self, start):
    answer = Future()
    self.run(lambda: self.end(answer, self.decide(start)))
    return answer


def stands_once(self):
    while not self.closed.wait(0.01):
        if self.porch.up:
            self.porch.gate = self
            return


def connects_at_once(self, keeper):
    if not self.porch.up:
        raise ConnectionError("there is no runtime")
    Door.open(self, keeper)


def leaves_its_thread(self):
    self.closed = threading.Event()
    for answer in self.waiting:
        self.end(answer, Start(admitted=False, reason="closed"))


one = threading.Lock()

gate("Ajar", "test_a_start_is_held_until_the_answer", "asks, and does not wait for the answer", ask=asks_afterwards)
gate(
    "Strict",
    "test_admitted_pods_start[Denied]",
    "admits a pod only when its rules are in force",
    decide=admits_what_is_in_force,
)
gate(
    "Mute",
    "test_a_refusal_refuses_and_says_why",
    "keeps the reason to itself",
    decide=lambda self, start: evolve(Door.decide(self, start), reason=""),
)
gate("Turnstile", "test_a_held_pod_holds_no_other", "asks for one pod after another", decide=decides_one_by_one)
gate(
    "Patient",
    "test_an_agent_that_gives_no_decision_refuses",
    "waits for the agent, but the runtime does not",
    ask=waits_for_ever,
)
gate(
    "Nameless",
    "test_a_pod_is_described_as_it_is",
    "leaves the UID out",
    **describing(lambda start: evolve(start, uid="")),
)
gate(
    "LowerCase",
    "test_hostile_texts_arrive_unchanged['-A OUTPUT -j ACCEPT']",
    "writes names its own way",
    **describing(lambda start: evolve(start, uid=start.uid.lower())),
)
gate(
    "Unforgetting",
    "test_a_pod_that_stops_is_forgotten",
    "tells of the end of a pod, but not of which sandbox",
    forget=lambda self, start: self.keeper.stopped(start.pod, start.uid),
)
gate("Once", "test_an_outage_is_a_problem_and_passes", "connects once", stand=stands_once)
gate(
    "Hasty",
    "test_opening_waits_for_nothing",
    "needs the runtime to be there",
    because="ConnectionError",
    open=connects_at_once,
)
gate(
    "Lasting",
    "test_closing_ends_waiting_starts_and_leaves_nothing",
    "goes on when it is closed",
    close=leaves_its_thread,
)
