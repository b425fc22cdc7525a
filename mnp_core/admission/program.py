"""The process of `mnp admit`: assembles the webhook, runs it until a signal, closes its parts in order."""

import threading
import time
from contextlib import ExitStack
from http import HTTPStatus
from typing import Final
from urllib.parse import quote

import structlog

import mnp_core
from mnp_core.admission.judge import REFUSED, Judge
from mnp_core.admission.keeper import Keeper
from mnp_core.admission.known_cluster import KnownCluster, KnownNetwork, View, read_network
from mnp_core.admission.metrics import AdmissionMetrics
from mnp_core.admission.review import MOST_BYTES, PATH
from mnp_core.admission.webhook import Webhook
from mnp_core.api import PolicyKindSpec
from mnp_core.classes import frozen
from mnp_core.errors import ApiError
from mnp_core.kubeapi import ApiServer
from mnp_core.kubeapi.connection import connect
from mnp_core.lasting import log_dying_threads, stopped_by_signals
from mnp_core.model import ObjectName
from mnp_core.model.kinds import NETWORK
from mnp_core.plugins import Registry
from mnp_core.policy.lint import Rule
from mnp_core.settings import Settings
from mnp_core.sources.decode import Decoder
from mnp_core.sources.kubernetes.backoff import WatchTiming
from mnp_core.sources.kubernetes.mirror import LogRefusals, mirror
from mnp_core.sources.kubernetes.resource import resources
from mnp_core.sources.kubernetes.store import Store
from mnp_core.sources.kubernetes.watcher import Watcher
from mnp_core.sources.kubernetes.watchers import Watchers
from mnp_core.telemetry.endpoint import Endpoint
from mnp_core.telemetry.health import Health, Unready
from mnp_core.telemetry.httpserver import HttpServer, Limits, Site, parse_listen_address

_STEP_SECONDS: Final = 1.0
_PATIENCE_SECONDS: Final = 30.0  # for the first lists of the cluster; then reviews without it are better than none
_LIMITS: Final = Limits(deadline=5.0, body=MOST_BYTES, connections=64, of_one=48)  # API servers keep few addresses

_log = structlog.stdlib.get_logger(__name__)


@frozen(kw_only=True)
class AdmitOptions:
    """Options of the webhook.

    Attributes:
        kubeconfig: A kubeconfig file; empty for the pod's own ServiceAccount.
        master: URL of the API server; empty: not overridden.
        namespace: Of the Service and the Secret.
        name: Of the Service, the Secret and the ValidatingWebhookConfiguration.
        hosts: Names and addresses in the certificate besides those of the Service.
        listen: Address and port of the webhook.
        health: Address and port of /healthz, /readyz and /metrics; empty for none.
        refuse: The rules whose errors refuse a policy.
    """

    kubeconfig: str = ""
    master: str = ""
    namespace: str = "kube-system"
    name: str = "mnp-admit"
    hosts: tuple[str, ...] = ()
    listen: str = ":9443"
    health: str = ""
    refuse: frozenset[Rule] = REFUSED

    @property
    def served(self) -> tuple[str, ...]:
        """All names and addresses."""
        service = f"{self.name}.{self.namespace}"
        return tuple(dict.fromkeys((f"{service}.svc", f"{service}.svc.cluster.local", *self.hosts)))


class _Cluster:
    """The watches of a cluster, and what they tell."""

    def __init__(self, api: ApiServer, kinds: tuple[PolicyKindSpec, ...], settings: Settings, known: KnownCluster):
        decode, observer, timing = Decoder(kinds).decode, LogRefusals(), WatchTiming()
        largest = settings.budgets.policy.bytes
        self._known = known
        read = (
            Watcher(api, each, Store(each.kind, decode, largest), known.put, observer, timing)
            for each in resources(kinds)
            if each.kind != NETWORK.kind
        )
        self.watchers = Watchers([mirror(api, NETWORK, known.put_network), *read])

    def look(self) -> tuple[View | None, str]:
        """The view; None, and why, if it is not complete."""
        for watcher in self.watchers:
            if not watcher.complete:
                return None, f"{watcher.resource.plural}: {watcher.waiting}"
        return self._known.view(), ""


def run_webhook(options: AdmitOptions, settings: Settings, registry: Registry) -> None:
    """Run until SIGTERM or SIGINT.

    Raises:
        InputError: An option cannot be used.
        UnsupportedError: This machine lacks a requirement.
    """
    log_dying_threads()
    stopped = threading.Event()
    kinds, claimed = tuple(registry.policy_kinds.values()), settings.enforced_types(registry.claimed_types)
    with ExitStack() as stack:
        api = connect(options.kubeconfig or None, master=options.master or None)
        stack.callback(api.close)
        keeper = Keeper(api, namespace=options.namespace, name=options.name, hosts=options.served)
        cluster = _Cluster(api, kinds, settings, KnownCluster(claimed))
        judge = Judge(
            decoder=Decoder(kinds),
            claimed=claimed,
            budgets=settings.budgets,
            refuse=options.refuse,
            lookup=lambda name: _look_up(api, name),
        )
        webhook, health = Webhook(judge, cluster.look), Health()
        health.not_ready(Unready.WAITING_FOR_API_SERVER, "the cluster is being read, and the certificate made")
        if options.health:
            metrics = AdmissionMetrics(webhook, keeper, lambda: cluster.watchers.complete)
            stack.enter_context(Endpoint(parse_listen_address(options.health), health=health, metrics=metrics))
        site = Site(forms={PATH: webhook.validate}, tls=keeper.context)
        server = stack.enter_context(HttpServer("webhook", parse_listen_address(options.listen), site, _LIMITS))
        health.depends_on(server.thread)
        for thread in cluster.watchers.threads:
            health.depends_on(thread)
        stack.callback(cluster.watchers.stop)
        cluster.watchers.start()
        _log.info("started", version=mnp_core.__version__, address=str(server.address), hosts=options.served)
        with stopped_by_signals(stopped.set):
            _run(stopped, keeper, cluster, health)
        health.not_ready(Unready.STOPPING, "policies are stored unchecked unless another replica runs")
        _log.info("stopping")


def _run(stopped: threading.Event, keeper: Keeper, cluster: _Cluster, health: Health) -> None:
    patient_until = time.monotonic() + _PATIENCE_SECONDS
    while not stopped.wait(0 if not keeper.ready else _STEP_SECONDS):
        health.beat()
        keeper.tend()
        if keeper.ready and (cluster.watchers.complete or time.monotonic() > patient_until):
            health.ready()
        elif not keeper.ready:
            stopped.wait(_STEP_SECONDS)


def _look_up(api: ApiServer, name: ObjectName) -> KnownNetwork | None:
    """Read a network attachment definition from the API server; None if it does not exist."""
    folder = f"/apis/{NETWORK.group}/{NETWORK.versions[0]}/namespaces/{quote(name.namespace, safe='')}"
    try:
        return read_network(api.get(f"{folder}/{NETWORK.plural}/{quote(name.name, safe='')}"))
    except ApiError as error:
        if error.status != HTTPStatus.NOT_FOUND:
            raise
        return None
