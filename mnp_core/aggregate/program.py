"""Puts the aggregator together, runs it, and takes it apart."""

import secrets
import socket
import threading
from contextlib import ExitStack
from typing import Final

import structlog

import mnp_core
from mnp_core.aggregate.aggregator import SETTLE_SECONDS, Aggregator
from mnp_core.aggregate.lease import Lease
from mnp_core.aggregate.metrics import AggregateMetrics
from mnp_core.aggregate.writer import StatusWriter
from mnp_core.classes import frozen
from mnp_core.conditions.summary import SUMMARY
from mnp_core.kubeapi.connection import connect
from mnp_core.lasting import log_dying_threads, stopped_by_signals
from mnp_core.model.kinds import POLICY
from mnp_core.sources.kubernetes.mirror import mirror
from mnp_core.sources.kubernetes.watchers import Watchers
from mnp_core.telemetry.endpoint import Endpoint
from mnp_core.telemetry.health import Health, Unready
from mnp_core.telemetry.httpserver import parse_listen_address

_STEP_SECONDS: Final = 1.0

_log = structlog.stdlib.get_logger(__name__)


@frozen(kw_only=True)
class AggregateOptions:
    """How the aggregator runs.

    Attributes:
        kubeconfig: A kubeconfig file; empty for the pod's own ServiceAccount.
        master: URL of the API server; empty: not overridden.
        namespace: Of the Lease.
        lease: Its name.
        listen: Address and port of /healthz, /readyz and /metrics; empty for none.
        rate: Statuses written in a second.
        settle_seconds: See `SETTLE_SECONDS`.
    """

    kubeconfig: str = ""
    master: str = ""
    namespace: str = "kube-system"
    lease: str = "mnp-aggregate"
    listen: str = ""
    rate: float = 5.0
    settle_seconds: float = SETTLE_SECONDS


def run_aggregator(options: AggregateOptions) -> None:
    """Run until SIGTERM or SIGINT.

    Raises:
        InputError: An option cannot be used.
        UnsupportedError: This machine lacks a requirement.
    """
    log_dying_threads()
    stopped = threading.Event()
    with ExitStack() as stack:
        api = connect(options.kubeconfig or None, master=options.master or None)
        stack.callback(api.close)
        holder = f"{socket.gethostname()}_{secrets.token_hex(4)}"
        lease = Lease(api, namespace=options.namespace, name=options.lease, holder=holder)
        writer = StatusWriter(api, rate=options.rate)
        aggregator = Aggregator(writer, settle_seconds=options.settle_seconds)
        health = Health()
        health.not_ready(Unready.WAITING_FOR_API_SERVER, "policies and summaries are being read")
        if options.listen:
            metrics = AggregateMetrics(aggregator, lease)
            stack.enter_context(Endpoint(parse_listen_address(options.listen), health=health, metrics=metrics))
        mirrors = (mirror(api, POLICY, aggregator.put_policy), mirror(api, SUMMARY, aggregator.put_summary))
        watchers = Watchers(mirrors)
        for thread in watchers.threads:
            health.depends_on(thread)
        stack.callback(watchers.stop)
        watchers.start()
        stack.callback(lease.release)
        _log.info("started", version=mnp_core.__version__, holder=holder, lease=f"{options.namespace}/{options.lease}")
        with stopped_by_signals(stopped.set):
            while not stopped.wait(_STEP_SECONDS):
                _step(aggregator, lease, watchers, health)
        health.not_ready(Unready.STOPPING, "statuses stay as they are")
        _log.info("stopping")


def _step(aggregator: Aggregator, lease: Lease, watchers: Watchers, health: Health) -> None:
    health.beat()
    if watchers.complete:
        health.ready()
    aggregator.step(complete=watchers.complete, leading=lease.tend())
