"""Metrics of the aggregator; every name is explained in docs/operations.md."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from mnp_core.aggregate.aggregator import Aggregator
from mnp_core.aggregate.lease import Lease
from mnp_core.aggregate.writer import Written


class AggregateMetrics(Collector):
    """Reads the aggregator when it is scraped."""

    def __init__(self, aggregator: Aggregator, lease: Lease) -> None:
        """Observe both."""
        self._aggregator, self._lease = aggregator, lease
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """All metrics now."""
        aggregator = self._aggregator
        gauges = {
            "mnp_aggregate_leading": ("1 if this process writes statuses.", int(self._lease.held)),
            "mnp_aggregate_nodes": ("Nodes with a summary.", aggregator.nodes),
            "mnp_aggregate_policies": ("Policies.", aggregator.policies),
            "mnp_aggregate_waiting_policies": ("Policies whose status is to be looked at.", aggregator.waiting),
        }
        for name, (words, value) in gauges.items():
            yield GaugeMetricFamily(name, words, value=value)
        writes = CounterMetricFamily("mnp_aggregate_writes", "Written statuses.", labels=("result",))
        for result in Written:
            writes.add_metric((result.value,), aggregator.results[result])
        yield writes

    def text(self) -> bytes:
        """In Prometheus' text format."""
        return generate_latest(self._registry)
