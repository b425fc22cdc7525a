"""Notifications of the node's loop reach metrics, log and Events."""

import time

import pytest
from attrs import evolve

from mnp_core.api import Failure, Outcome, Result, Sync
from mnp_core.model import ObjectName, ObjectRef, Reason, Report, Severity
from mnp_core.node.observer import NodeObserver
from mnp_core.telemetry.change_log import ChangeLog
from mnp_core.telemetry.events import EventRecorder
from mnp_core.telemetry.health import Health
from mnp_core.telemetry.metrics import Metrics
from tests.telemetry.apiserver import EventServer, HttpApi
from tests.telemetry.test_recorder import Identity

WEB = ObjectName("demo", "web")
FAILED = Outcome(pod=WEB, result=Result.FAILED, error="no", failure=Failure.REFUSED)
UPDATED = Outcome(pod=WEB, result=Result.UPDATED)
REPORT = Report(
    about=ObjectRef("Pod", WEB),
    field="",
    reason=Reason.UNENFORCEABLE,
    message="no kernel device",
    remedy="None",
    exposed=True,
)


@pytest.fixture
def server():
    serving = EventServer()
    yield serving
    serving.close()


def test_a_pass_is_counted_and_logged(server, lines):
    metrics = Metrics()
    with EventRecorder(
        api=HttpApi(server.port), identify=lambda _: Identity(), node="node-1", counted=metrics.event
    ) as events:
        observer = NodeObserver((metrics, ChangeLog(), events), Health())
        for outcome in (FAILED, FAILED, FAILED, UPDATED):
            observer.outcome(outcome)
        observer.outcome(UPDATED)
        observer.synced(Sync(outcomes=(), appeared=(REPORT,), seconds=0.1))
        deadline = time.monotonic() + 20
        while not server.events:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    text = metrics.text().decode()
    assert 'mnp_apply_failures_total{reason="Refused"} 3.0\n' in text
    assert 'mnp_unenforceable_attachments{reason="Unenforceable"} 1.0\n' in text
    assert 'mnp_kubernetes_events_total{result="created"} 1.0\n' in text
    assert [line["msg"] for line in lines()] == ["failed", "recovered", "members updated", "problem"]
    assert [event["reason"] for event in server.all()] == ["Unenforceable"]


def test_a_hint_is_logged_and_neither_counted_nor_an_event(server, lines):
    """S30: it must not raise an alert."""
    metrics = Metrics()
    hint = evolve(REPORT, reason=Reason.SPELLING, severity=Severity.HINT)
    with EventRecorder(
        api=HttpApi(server.port), identify=lambda _: Identity(), node="node-1", counted=metrics.event
    ) as events:
        observer = NodeObserver((metrics, ChangeLog(), events), Health())
        observer.synced(Sync(outcomes=(), appeared=(hint, REPORT), seconds=0.1))
        deadline = time.monotonic() + 20
        while not server.events:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    assert [event["reason"] for event in server.all()] == [REPORT.reason.value]
    assert 'mnp_reports{reason="Spelling"} 0.0\n' in metrics.text().decode()
    assert {(line["level"], line["msg"]) for line in lines()} == {("info", "hint"), ("warning", "problem")}


def test_the_source_is_observed_without_events(lines):
    metrics = Metrics()
    observer = NodeObserver((metrics, ChangeLog()), Health())
    observer.listed("Pod", 7)
    observer.watch_restarted("Pod", "gone")
    observer.refused("Namespace", "may not list namespaces")
    metrics.enforced(0.1)
    metrics.state(pods=1, policies=2, groups=3, members=4)
    observer.outcome(FAILED)
    observer.synced(Sync(outcomes=(FAILED,), reports=(), seconds=0.1))
    text = metrics.text().decode()
    for line in (
        'mnp_listed_objects{kind="Pod"} 7.0',
        'mnp_watch_restarts_total{cause="gone",kind="Pod"} 1.0',
        'mnp_api_refusals_total{kind="Namespace"} 1.0',
        "mnp_event_to_enforced_seconds_count 1.0",
        "mnp_address_group_members 4.0",
    ):
        assert f"{line}\n" in text
    assert [line["msg"] for line in lines()] == ["listed", "watch restarted", "refused by the API server", "failed"]
