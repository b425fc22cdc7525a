"""Metrics of the webhook; every name is explained in docs/admission.md."""

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from mnp_core.admission.keeper import Keeper
from mnp_core.admission.webhook import Result, Webhook


class AdmissionMetrics(Collector):
    """Reads the webhook when it is scraped."""

    def __init__(self, webhook: Webhook, keeper: Keeper, sees_cluster: Callable[[], bool]) -> None:
        """Observe both."""
        self._webhook, self._keeper, self._sees_cluster = webhook, keeper, sees_cluster
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """All metrics now."""
        gauges = {
            "mnp_admission_certificate_expiry_timestamp_seconds": ("End of the certificate.", self._keeper.expires),
            "mnp_admission_registered": ("1 if API servers trust the certificate.", int(self._keeper.registered)),
            "mnp_admission_sees_cluster": ("1 if every kind of object is known.", int(self._sees_cluster())),
        }
        for name, (words, value) in gauges.items():
            yield GaugeMetricFamily(name, words, value=value)
        reviews = CounterMetricFamily("mnp_admission_reviews", "Answered reviews.", labels=("result",))
        for result in Result:
            reviews.add_metric((result.value,), self._webhook.results[result])
        yield reviews
        yield CounterMetricFamily("mnp_admission_review_seconds", "Time of reviews.", value=self._webhook.seconds)

    def text(self) -> bytes:
        """In Prometheus' text format."""
        return generate_latest(self._registry)
