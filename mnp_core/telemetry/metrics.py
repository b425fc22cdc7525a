"""Metrics for Prometheus; every name is explained in docs/operations.md.

No metric has the name of a pod, policy or any other object as a label, but for a few namespaces. An external word
becomes a label only if it looks like one and there are not too many already: the number of series does not grow with a
cluster.
"""

import platform
import re
from collections.abc import Sequence
from typing import Final

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector, generate_latest

import mnp_core
from mnp_core.api import Admission, Failure, Outcome, Result, Sync
from mnp_core.model import OPEN_REASONS, Reason, Report
from mnp_core.telemetry.sink import Sink, problems

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

_APPLY_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_LATENCY_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_FEW: Final = 32  # different words of one sort, more than any node has
_WORD: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
_OTHER: Final = "Other"
_TAGGED: Final = "denied-vlan"  # the label of a rule
_POLICED_PODS: Final = "mnp_policed_pods is deprecated since 0.1 and will be gone in 0.2: query mnp_enforced_pods."


class Metrics(Sink):
    """All metrics of one node agent, in a registry of their own. Thread safe."""

    def __init__(self) -> None:
        """Start at zero, with a series for every label value known beforehand."""
        # They double the series, and the creation time of a counter is never queried.
        prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call] # the library forgot its "-> None"
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._words = _Words()
        self._make_gauges(registry)
        self._make_counters(registry)
        self._apply = Histogram(
            "mnp_apply_duration_seconds",
            "Time from the start of an attempt to bring a pod up to date to its end.",
            ("result", "backend"),
            buckets=_APPLY_BUCKETS,
            registry=registry,
        )
        self._latency = Histogram(
            "mnp_event_to_enforced_seconds",
            "Time from the arrival of a change to its enforcement in one affected pod, one observation per pod.",
            buckets=_LATENCY_BUCKETS,
            registry=registry,
        )

        self._held = Histogram(
            "mnp_gate_hold_seconds",
            "Time that a gate held the start of a pod.",
            ("admission",),
            buckets=_LATENCY_BUCKETS,
            registry=registry,
        )
        for admission in Admission:
            self._held.labels(admission.value)

    def _make_gauges(self, registry: CollectorRegistry) -> None:
        Info("mnp_build", "What runs.", registry=registry).info(
            {"version": mnp_core.__version__, "python": platform.python_version()}
        )
        self._pods = Gauge("mnp_enforced_pods", "Pods of this node with rules in force.", registry=registry)
        self._policed_pods = Gauge("mnp_policed_pods", _POLICED_PODS, registry=registry)
        self._policies = Gauge("mnp_policies", "Policies that are known, of every kind.", registry=registry)
        self._groups = Gauge("mnp_address_groups", "Address groups that rules of this node use.", registry=registry)
        self._members = Gauge("mnp_address_group_members", "Members of all these groups.", registry=registry)
        self._gates = Gauge("mnp_gate_connected", "Whether a gate holds pod starts.", ("gate",), registry=registry)
        self._listed = Gauge("mnp_listed_objects", "Objects in the last full list.", ("kind",), registry=registry)
        self._reports = Gauge("mnp_reports", "Problems of objects that stand.", ("reason",), registry=registry)
        self._open = Gauge(
            "mnp_unenforceable_attachments",
            "Problems that stand by which an interface of a pod may be open.",
            ("reason",),
            registry=registry,
        )
        for reason in Reason:
            self._reports.labels(reason.value)
        for reason in OPEN_REASONS:
            self._open.labels(reason.value)

    def _make_counters(self, registry: CollectorRegistry) -> None:
        self._failures = Counter("mnp_apply_failures", "Attempts that failed.", ("reason",), registry=registry)
        self._drift = Counter("mnp_drift_mended", "Pods whose rules were put back.", registry=registry)
        self._restarts = Counter(
            "mnp_watch_restarts", "Watches that were begun anew.", ("kind", "cause"), registry=registry
        )
        self._refusals = Counter("mnp_api_refusals", "Requests that were refused.", ("kind",), registry=registry)
        self._events = Counter("mnp_kubernetes_events", "Events, by result.", ("result",), registry=registry)
        self._denied = Counter(
            "mnp_denied_packets_logged",
            "Packets in the log of denied packets, by namespace of the pod whose rules denied them.",
            ("namespace",),
            registry=registry,
        )
        self._evicted = Counter(
            "mnp_evicted_connections",
            "Connections that lost their place in the table of a backend to others, by kind.",
            ("kind",),
            registry=registry,
        )
        self._tagged = Counter(
            "mnp_denied_tagged_frames",
            "Frames with a VLAN tag that were denied on bridged interfaces.",
            registry=registry,
        )
        for failure in Failure:
            self._failures.labels(failure.value)

    def outcome(self, outcome: Outcome) -> None:
        """Count one attempt."""
        backend = self._words.of("backend", outcome.backend) if outcome.backend else ""
        self._apply.labels(outcome.result.value, backend).observe(outcome.seconds)
        if outcome.result is Result.FAILED:
            self._failures.labels((outcome.failure or Failure.OTHER).value).inc()
        if outcome.drifted:
            self._drift.inc()
        if outcome.latency is not None:
            self.enforced(outcome.latency)

    def sync(self, sync: Sync) -> None:
        """Update the number of standing problems at the end of a pass."""
        self.reports(problems(sync.appeared), problems(sync.vanished))

    def enforced(self, seconds: float) -> None:
        """Record the latency of a change, from its arrival to its enforcement."""
        self._latency.observe(seconds)

    def reports(self, appeared: Sequence[Report], vanished: Sequence[Report]) -> None:
        """Update the number of standing problems: new ones and resolved ones."""
        for reports, difference in ((appeared, 1), (vanished, -1)):
            for report in reports:
                self._reports.labels(report.reason.value).inc(difference)
                if report.exposed:
                    self._open.labels(report.reason.value).inc(difference)

    def state(self, *, pods: int, policies: int, groups: int, members: int) -> None:
        """Record the current sizes."""
        for gauge, value in (
            (self._pods, pods),
            (self._policed_pods, pods),
            (self._policies, policies),
            (self._groups, groups),
            (self._members, members),
        ):
            gauge.set(value)

    def start_held(self, admission: Admission, seconds: float) -> None:
        """Record the time that a pod start was held."""
        self._held.labels(admission.value).observe(seconds)

    def gate_state(self, gate: str, *, connected: bool) -> None:
        """Record whether a gate holds pod starts."""
        self._gates.labels(self._words.of("gate", gate)).set(connected)

    def watch_restarted(self, kind: str, cause: str) -> None:
        """Count the restart of a watch of a kind; the cause is one word."""
        self._restarts.labels(self._words.of("kind", kind), self._words.of("cause", cause)).inc()

    def listed(self, kind: str, count: int) -> None:
        """Record the number of objects in a full list of a kind."""
        self._listed.labels(self._words.of("kind", kind)).set(count)

    def refused(self, kind: str, sentence: str) -> None:  # noqa: ARG002 - passed to every observer; it is for the log
        """Count a request about a kind that the API server refused."""
        self._refusals.labels(self._words.of("kind", kind)).inc()

    def event(self, result: str) -> None:
        """Count a Kubernetes Event by its result."""
        self._events.labels(self._words.of("event", result)).inc()

    def denied(self, namespace: str) -> None:
        """Count a packet of the log of denied packets."""
        self._denied.labels(self._words.of("namespace", namespace)).inc()

    def lost(self, kind: str, number: int) -> None:
        """Count what `mnp_core.node.pod_counts` has read: frames with a VLAN tag, or connections without a place."""
        counter = self._tagged if kind == _TAGGED else self._evicted.labels(self._words.of("eviction", kind))
        counter.inc(number)

    def text(self) -> bytes:
        """All metrics in the text format of Prometheus."""
        return generate_latest(self._registry)


class _Words:
    """External words, few of each sort."""

    def __init__(self) -> None:
        self._known: dict[str, set[str]] = {}

    def of(self, sort: str, word: str) -> str:
        """The word itself if it can be a label, else ``Other``."""
        known = self._known.setdefault(sort, set())
        if word in known:
            return word
        if len(known) >= _FEW or not _WORD.fullmatch(word):
            return _OTHER
        known.add(word)
        return word
