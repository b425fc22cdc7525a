"""One line for each change, and few for lasting states."""

import pytest
from attrs import evolve

from mnp_core.api import Failure, Outcome, Result
from mnp_core.model import ObjectName, ObjectRef, Reason, Report
from mnp_core.telemetry.change_log import ChangeLog, PodContext
from mnp_core.telemetry.line_limit import LineLimit

WEB = ObjectName("demo", "web")
APPLIED = Outcome(pod=WEB, result=Result.APPLIED, seconds=0.0123456, backend="nftables")
UPDATED = evolve(APPLIED, result=Result.UPDATED)
FAILED = Outcome(pod=WEB, result=Result.FAILED, error="the kernel says no", failure=Failure.REFUSED)
REPORT = Report(
    about=ObjectRef("MultiNetworkPolicy", ObjectName("demo", "deny")),
    field="spec.ingress",
    reason=Reason.MALFORMED,
    message="it is no list",
    remedy="Write a list",
)


@pytest.fixture
def change_log(clock):
    return ChangeLog(context=lambda _: PodContext(interfaces=["net1"], policies=["demo/a", "demo/b"]), clock=clock)


def without_time(line):
    return {key: value for key, value in line.items() if key != "time"}


def test_a_change_has_pod_interfaces_policies_and_seconds(change_log, lines):
    change_log.outcome(APPLIED)
    assert [without_time(line) for line in lines()] == [
        {
            "level": "info",
            "msg": "rules applied",
            "pod": "demo/web",
            "interfaces": "net1",
            "policies": "demo/a,demo/b",
            "backend": "nftables",
            "seconds": 0.0123,
        }
    ]


def test_unknown_fields_of_a_pod_are_left_out(lines):
    ChangeLog().outcome(evolve(APPLIED, result=Result.REMOVED, backend=""))
    [line] = lines()
    assert set(line) == {"time", "level", "msg", "pod", "seconds"}


def test_a_brief_failure_is_no_error(lines, change_log):
    """A pod is delivered before its sandbox exists."""
    early = evolve(FAILED, failure=Failure.NOT_FOUND, transient=True)
    change_log.outcome(early)
    change_log.outcome(early)
    change_log.outcome(APPLIED)
    assert [(line["level"], line["msg"]) for line in lines() if line["level"] != "debug"] == [("info", "rules applied")]


def test_many_policies_are_not_a_long_line(lines):
    ChangeLog(context=lambda _: PodContext(policies=[f"demo/{number}" for number in range(1000)])).outcome(APPLIED)
    [line] = lines()
    assert line["policies"].endswith("demo/7,and 992 more")


def test_correct_rules_give_no_line(change_log, lines):
    change_log.outcome(evolve(APPLIED, result=Result.UNCHANGED))
    change_log.flush()
    assert lines() == []


def test_members_of_many_pods_are_one_line(change_log, lines):
    for number in range(100):
        change_log.outcome(evolve(UPDATED, pod=ObjectName("demo", f"pod-{number}"), seconds=number / 1000))
    assert lines() == []
    change_log.flush()
    change_log.flush()
    [line] = lines()
    assert (line["msg"], line["pods"], line["longest_seconds"]) == ("members updated", 100, 0.099)


def test_members_of_one_pod_name_it(change_log, lines):
    change_log.outcome(UPDATED)
    change_log.outcome(UPDATED)
    change_log.flush()
    [line] = lines()
    assert (line["msg"], line["pod"]) == ("members updated", "demo/web")


def test_drift_is_a_warning(change_log, lines):  # S63
    change_log.outcome(evolve(APPLIED, drifted=True))
    [line] = lines()
    assert (line["level"], line["msg"]) == ("warning", "drift repaired")


def test_the_same_failure_is_said_ever_more_rarely(change_log, lines, clock):
    said = []
    for second in range(3600):
        change_log.outcome(evolve(FAILED, error=f"the kernel says no, {second}"))
        clock.sleep(1)
        said += [second for _ in lines()]
    assert said == [0, 10, 30, 70, 150, 310, 630, 1270, 2550]


def test_a_failure_of_another_sort_is_news(change_log, lines):
    change_log.outcome(FAILED)
    change_log.outcome(evolve(FAILED, failure=Failure.NOT_FOUND))
    assert [line["reason"] for line in lines()] == ["Refused", "NotFound"]


def test_a_failure_says_why_and_how_often(change_log, lines, clock):
    change_log.outcome(FAILED)
    clock.sleep(5)
    change_log.outcome(FAILED)
    clock.sleep(5)
    change_log.outcome(FAILED)
    first, second = lines()
    assert (first["level"], first["error"], first["attempts"]) == ("error", "the kernel says no", 1)
    assert second["attempts"] == 3


def test_recovery_is_said_once(change_log, lines):
    change_log.outcome(FAILED)
    change_log.outcome(APPLIED)
    change_log.outcome(APPLIED)
    assert [line["msg"] for line in lines()] == ["failed", "recovered", "rules applied"]


def test_problems_are_said_when_they_appear_and_when_they_go(change_log, lines):
    other = evolve(REPORT, field="spec.egress")
    change_log.reports((REPORT,), ())
    change_log.reports((), ())
    change_log.reports((other,), ())
    change_log.reports((), (REPORT,))
    first, second, third = lines()
    assert without_time(first) == {
        "level": "warning",
        "msg": "problem",
        "object": "MultiNetworkPolicy demo/deny",
        "field": "spec.ingress",
        "reason": "Malformed",
        "message": "it is no list",
        "remedy": "Write a list",
    }
    assert second["field"] == "spec.egress"
    assert (third["msg"], third["field"], third["reason"]) == ("problem resolved", "spec.ingress", "Malformed")


def test_a_source_that_is_refused_again_and_again_is_not_a_line_each_time(change_log, lines, clock):
    for _ in range(600):
        change_log.refused("Pod", "may not list pods")
        change_log.watch_restarted("Pod", "unreachable")
        clock.sleep(1)
    said = [line["msg"] for line in lines()]
    assert said.count("refused by the API server") == said.count("watch restarted") == 6


def test_a_new_outage_after_a_quiet_day_is_said(change_log, lines, clock):
    for _ in range(3):
        for _ in range(100):
            change_log.watch_restarted("Pod", "unreachable")
        clock.sleep(86400)
    assert [line["times"] for line in lines()] == [1, 101, 201]


def test_memory_of_failures_is_bounded(change_log, lines):
    for number in range(10_000):
        change_log.outcome(evolve(FAILED, pod=ObjectName(f"demo-{number}", "web")))
    assert len(lines()) == 10_000
    assert len(change_log._throttle._known) == 4096


def test_many_faults_of_one_object_are_a_few_lines_that_say_how_many_more(change_log, lines):
    """S6: a thousand policies with fifty faults each take no fifty thousand lines, on the thread that serves all."""
    faults = tuple(evolve(REPORT, field=f"spec.ingress[{number}]") for number in range(50))
    other = evolve(REPORT, reason=Reason.INVALID_PEER)
    change_log.reports((*faults, other), ())
    change_log.reports((), faults)
    *said, _, last_gone = [(line["msg"], line["reason"], line.get("more")) for line in lines()]
    assert said[:6] == [("problem", "Malformed", None)] * 4 + [
        ("problem", "Malformed", 45),
        ("problem", "InvalidPeer", None),
    ]
    assert last_gone == ("problem resolved", "Malformed", 45)


def numbered(name, namespace="noisy", reason=Reason.INVALID_PEER):
    return evolve(REPORT, about=ObjectRef("MultiNetworkPolicy", ObjectName(namespace, name)), reason=reason)


def test_a_flood_of_one_namespace_does_not_fill_the_log(change_log, lines, clock):
    """Each reason and each namespace has room of its own; lines left out are counted in one."""
    for number in range(1000):
        change_log.reports([numbered(f"junk-{number}")], [])
    change_log.reports([numbered("open", reason=Reason.UNENFORCEABLE), numbered("typo", "quiet")], [])
    change_log.outcome(evolve(APPLIED, pod=ObjectName("noisy", "web")))
    logged = [line.get("object", line.get("pod")) for line in lines()]
    assert logged[198:] == [
        *("MultiNetworkPolicy noisy/junk-198", "MultiNetworkPolicy noisy/junk-199"),
        *("MultiNetworkPolicy noisy/open", "MultiNetworkPolicy quiet/typo", "noisy/web"),
    ]
    change_log.state(pods=1, policies=1, groups=0, members=0)
    change_log.state(pods=1, policies=1, groups=0, members=0)
    assert [without_time(line) for line in lines()] == [
        {"level": "warning", "msg": "lines left out", "namespace": "noisy", "lines": 800}
    ]
    clock.sleep(20)
    for number in range(100):
        change_log.reports([], [numbered(f"junk-{number}")])
        change_log.outcome(evolve(APPLIED, pod=ObjectName("noisy", "web")))
        change_log.reports([numbered(f"more-{number}")], [])
    assert [line["object"] for line in lines() if line["msg"] == "problem"] == [
        "MultiNetworkPolicy noisy/more-0",
        "MultiNetworkPolicy noisy/more-1",
    ]
    change_log.state()
    assert [line["lines"] for line in lines()] == [98]


def test_the_limit_takes_bounded_memory_for_any_number_of_namespaces(clock):
    """A user that may make namespaces makes many."""
    limit = LineLimit(clock=clock)
    allowed = [sum(limit.allows(f"n{number}", "problem") for _ in range(201)) for number in range(5000)]
    assert set(allowed) == {200}
    told = limit.take_left_out()
    assert (len(told), sum(lines for _, lines in told), dict(told)["(others)"]) == (1001, 5000, 4000)
    assert len(limit._buckets) == 4096
