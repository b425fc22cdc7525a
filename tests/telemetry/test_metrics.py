"""The text for Prometheus, parsed by its own parser."""

import re

import pytest
from attrs import evolve
from prometheus_client.parser import text_string_to_metric_families

import mnp_core
from mnp_core.api import Failure, Outcome, Result
from mnp_core.model import ObjectName, ObjectRef, Reason, Report
from mnp_core.telemetry.metrics import Metrics

WEB = ObjectName("demo", "web")
APPLIED = Outcome(pod=WEB, result=Result.APPLIED, seconds=0.02, backend="nftables")
FAILED = Outcome(pod=WEB, result=Result.FAILED, error="no", failure=Failure.REFUSED, seconds=0.001)


def report(reason, kind="Pod", name="web", field=""):
    return Report(about=ObjectRef(kind, ObjectName("demo", name)), field=field, reason=reason, message="m", remedy="r")


@pytest.fixture
def metrics():
    return Metrics()


def families(metrics):
    return {family.name: family for family in text_string_to_metric_families(metrics.text().decode())}


def value(metrics, name, **labels):
    found = [
        sample.value
        for family in families(metrics).values()
        for sample in family.samples
        if sample.name == name and sample.labels == labels
    ]
    assert len(found) <= 1
    return found[0] if found else None


def test_attempts_are_timed_by_result_and_backend(metrics):
    metrics.outcome(APPLIED)
    metrics.outcome(evolve(APPLIED, seconds=0.2))
    metrics.outcome(FAILED)
    labels = {"result": "applied", "backend": "nftables"}
    assert value(metrics, "mnp_apply_duration_seconds_count", **labels) == 2
    assert value(metrics, "mnp_apply_duration_seconds_sum", **labels) == pytest.approx(0.22)
    assert value(metrics, "mnp_apply_duration_seconds_bucket", le="0.025", **labels) == 1
    assert value(metrics, "mnp_apply_duration_seconds_count", result="failed", backend="") == 1


def test_failures_are_counted_by_reason_and_every_reason_is_there_from_the_start(metrics):
    assert {failure: value(metrics, "mnp_apply_failures_total", reason=failure.value) for failure in Failure} == (
        dict.fromkeys(Failure, 0)
    )
    metrics.outcome(FAILED)
    metrics.outcome(evolve(FAILED, failure=None))
    assert value(metrics, "mnp_apply_failures_total", reason="Refused") == 1
    assert value(metrics, "mnp_apply_failures_total", reason="Other") == 1


def test_drift_is_counted_when_it_was_repaired(metrics):
    metrics.outcome(APPLIED)
    metrics.outcome(evolve(APPLIED, drifted=True))
    assert value(metrics, "mnp_drift_mended_total") == 1


def test_latency_has_buckets_from_a_millisecond_to_a_minute(metrics):
    metrics.enforced(0.0005)
    metrics.enforced(59)
    metrics.enforced(61)
    assert value(metrics, "mnp_event_to_enforced_seconds_bucket", le="0.001") == 1
    assert value(metrics, "mnp_event_to_enforced_seconds_bucket", le="60.0") == 2
    assert value(metrics, "mnp_event_to_enforced_seconds_count") == 3
    assert families(metrics)["mnp_event_to_enforced_seconds"].documentation.endswith("one observation per pod.")


def test_standing_reports_are_a_gauge(metrics):
    before = [report(Reason.MALFORMED), report(Reason.MALFORMED, name="other")]
    metrics.reports(before, [])
    assert value(metrics, "mnp_reports", reason="Malformed") == 2
    metrics.reports([report(Reason.DUPLICATE)], before)
    assert value(metrics, "mnp_reports", reason="Malformed") == 0
    assert value(metrics, "mnp_reports", reason="Duplicate") == 1


def test_attachments_that_cannot_be_enforced_are_counted_where_a_policy_selects_them(metrics):  # S64
    metrics.reports(
        [
            evolve(report(Reason.UNENFORCEABLE), exposed=True),
            evolve(report(Reason.UNCLAIMED_TYPE, field="a"), exposed=True),
            evolve(report(Reason.UNCLAIMED_TYPE, field="b"), exposed=True),
            report(Reason.UNCLAIMED_TYPE, field="c"),
            report(Reason.UNCLAIMED_TYPE, kind="MultiNetworkPolicy"),
            report(Reason.MISMATCH),
        ],
        [],
    )
    assert value(metrics, "mnp_unenforceable_attachments", reason="Unenforceable") == 1
    assert value(metrics, "mnp_unenforceable_attachments", reason="UnclaimedType") == 2
    assert value(metrics, "mnp_unenforceable_attachments", reason="Mismatch") is None


def test_state_is_exported_at_once(metrics):
    metrics.state(pods=100, policies=20, groups=7, members=5000)
    names = ("mnp_enforced_pods", "mnp_policies", "mnp_address_groups", "mnp_address_group_members")
    assert [value(metrics, name) for name in names] == [100, 20, 7, 5000]


def test_the_old_name_of_a_metric_stays_for_one_release_and_says_so(metrics):
    metrics.state(pods=100, policies=20, groups=7, members=5000)
    assert value(metrics, "mnp_policed_pods") == value(metrics, "mnp_enforced_pods") == 100
    expected = "mnp_policed_pods is deprecated since 0.1 and will be gone in 0.2: query mnp_enforced_pods."
    assert families(metrics)["mnp_policed_pods"].documentation == expected


def test_source_is_observed(metrics):
    metrics.watch_restarted("Pod", "Gone")
    metrics.watch_restarted("Pod", "Gone")
    metrics.listed("Pod", 5000)
    metrics.refused("Namespace", "it may not list namespaces")
    assert value(metrics, "mnp_watch_restarts_total", kind="Pod", cause="Gone") == 2
    assert value(metrics, "mnp_listed_objects", kind="Pod") == 5000
    assert value(metrics, "mnp_api_refusals_total", kind="Namespace") == 1


def test_series_stay_few_under_any_labels(metrics):
    before = len(metrics.text())
    for number in range(2000):
        metrics.watch_restarted(f"Kind{number}", f"cause number {number}\n")
        metrics.outcome(evolve(APPLIED, pod=ObjectName("demo", f"pod-{number}"), backend='"}\nforged 1'))
        metrics.reports([report(Reason.MALFORMED, name=f"policy-{number}")], [])
    assert len(metrics.text()) < before + 10_000
    assert "forged" not in metrics.text().decode()
    assert "demo" not in metrics.text().decode()
    assert value(metrics, "mnp_watch_restarts_total", kind="Other", cause="Other") == 2000 - 32


def test_build_is_named(metrics):
    [sample] = (
        families(metrics)["mnp_build"].samples
        if "mnp_build" in families(metrics)
        else families(metrics)["mnp_build_info"].samples
    )
    assert (sample.labels["version"], sample.value) == (mnp_core.__version__, 1)


def test_names_and_units_are_as_prometheus_wants_them(metrics):
    for family in families(metrics).values():
        assert re.fullmatch(r"(mnp|process)_[a-z_]+", family.name)
        assert family.documentation
        assert (family.type == "histogram") <= family.name.endswith("_seconds")
        assert all(sample.name.endswith("_total") for sample in family.samples if family.type == "counter")
