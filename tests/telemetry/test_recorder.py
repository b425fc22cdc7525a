"""The thread of Events: no caller waits for it, even if the API server hangs."""

import threading
import time

import pytest
from attrs import evolve, frozen

from mnp_core.api import Failure, Outcome, Result
from mnp_core.model import ObjectName, ObjectRef, Reason, Report
from mnp_core.telemetry.events import EventRecorder
from tests.telemetry.apiserver import EventServer, HttpApi

WEB = ObjectName("demo", "web")
MENDED = Outcome(pod=WEB, result=Result.APPLIED, drifted=True)
APPLIED = Outcome(pod=WEB, result=Result.APPLIED)
FAILED = Outcome(pod=WEB, result=Result.FAILED, error="no", failure=Failure.NOT_FOUND)
REPORT = Report(
    about=ObjectRef("Pod", WEB), field="", reason=Reason.UNENFORCEABLE, message="no kernel device", remedy="None"
)


@frozen
class Identity:
    api_version: str = "v1"
    uid: str = "u-1"


@pytest.fixture
def server():
    serving = EventServer()
    yield serving
    serving.close()


@pytest.fixture
def counts():
    return []


@pytest.fixture
def recorder(server, counts):
    with EventRecorder(
        api=HttpApi(server.port), identify=lambda _: Identity(), node="node-1", counted=counts.append
    ) as recording:
        yield recording


def until(condition, seconds=20.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def pod(number):
    return ObjectName("demo", f"pod-{number}")


def test_occurrences_arrive_soon(recorder, server):
    recorder.outcome(MENDED)
    until(lambda: server.events)
    assert server.one()["reason"] == "DriftMended"


def test_standing_problems_arrive_in_seconds(recorder, server):
    recorder.reports((REPORT,), ())
    until(lambda: server.events)
    assert server.one()["reason"] == "Unenforceable"


def test_failures_give_no_second_event(recorder, server):
    """Lasting ones are among the standing problems."""
    for outcome in (FAILED, FAILED, FAILED, evolve(MENDED, pod=pod(1))):
        recorder.outcome(outcome)
    recorder.reports((evolve(REPORT, reason=Reason.ENFORCEMENT_FAILED),), ())
    until(lambda: len(server.events) == 2)
    assert {event["reason"] for event in server.all()} == {"DriftMended", "EnforcementFailed"}


def test_a_hanging_server_delays_no_caller(recorder, server, counts):
    server.answering.clear()
    recorder.outcome(MENDED)
    began = time.monotonic()
    for number in range(5000):
        recorder.outcome(evolve(MENDED, pod=pod(number)))
        recorder.reports((REPORT,), ())
    assert time.monotonic() - began < 10
    assert counts.count("dropped") >= 3000
    server.answering.set()
    until(lambda: server.events)


def test_closing_does_not_wait_for_a_server_that_hangs(server):
    server.answering.clear()
    recorder = EventRecorder(api=HttpApi(server.port), identify=lambda _: Identity(), node="node-1")
    recorder.outcome(MENDED)
    time.sleep(1.5)  # the request is on its way
    began = time.monotonic()
    recorder.close()
    assert time.monotonic() - began < 5
    server.answering.set()
    until(lambda: "events" not in {thread.name for thread in threading.enumerate()})


def test_success_gives_no_event(recorder, server):
    for number in range(5000):
        recorder.outcome(evolve(APPLIED, pod=pod(number)))
    recorder.outcome(MENDED)
    until(lambda: server.events)
    assert server.requests == [("POST", 201)]
