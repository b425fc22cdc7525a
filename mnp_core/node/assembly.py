"""Puts a node together from its settings and the installed plugins, runs it, and takes it apart."""

import os
import socket
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Final

import structlog
from attrs import evolve

import mnp_core
from mnp_core.agent.agent import Agent
from mnp_core.backend import Backends
from mnp_core.cluster import ClusterState
from mnp_core.conditions.tokens import policy_token
from mnp_core.kubeapi import ApiServer
from mnp_core.kubeapi.connection import connect
from mnp_core.lasting import LastingThread, log_dying_threads, stopped_by_signals
from mnp_core.model import ObjectName
from mnp_core.node.denial import Denial
from mnp_core.node.denied import DeniedPackets, log_packet
from mnp_core.node.denied_followers import DeniedFollowers
from mnp_core.node.described import Described
from mnp_core.node.gatekeeper import NodeGatekeeper
from mnp_core.node.gates import Gates
from mnp_core.node.loop import NodeLoop
from mnp_core.node.memory import prepare_memory
from mnp_core.node.observer import NodeObserver, PluginSink
from mnp_core.node.pod_counts import PodCounts
from mnp_core.node.status.comparison import Comparison
from mnp_core.node.status.counters import CounterReader
from mnp_core.node.status.judged import FlowJudge
from mnp_core.node.status.requests import AgentRequests
from mnp_core.node.status.server import StatusServer
from mnp_core.node.status.trace import Tracer
from mnp_core.node.view import NodeView
from mnp_core.plugins import Registry
from mnp_core.sandbox.enumerate import list_sandboxes
from mnp_core.sandbox.host import host_filesystem
from mnp_core.sandbox.monitor import Monitor
from mnp_core.sandbox.outside import OutsideState
from mnp_core.sandbox.pool import SandboxPool
from mnp_core.settings import LogDenied, NodeSettings, Settings, UnclaimedInterfaces
from mnp_core.sources.kubernetes.fetch import PodFetcher
from mnp_core.sources.kubernetes.source import KubernetesSource
from mnp_core.telemetry.change_log import ChangeLog, PodContext
from mnp_core.telemetry.endpoint import Endpoint
from mnp_core.telemetry.events import EventRecorder
from mnp_core.telemetry.health import Health
from mnp_core.telemetry.httpserver import parse_listen_address
from mnp_core.telemetry.metrics import Metrics
from mnp_core.telemetry.publisher import StatusPublisher

_WORKERS: Final = 32  # some backends wait for programs or for the kernel (RCU), so many more of them than cores
_FINALIZE_AFTER_SECONDS: Final = 0.3  # about the duration of a replacement in all pods of a node
_SWITCH_INTERVAL: Final = 0.0005  # seconds; a commit waits a dozen times for a thread that decodes or renders
_LOCATORS: Final = 8  # concurrent queries to the runtime
_log: Final[structlog.stdlib.BoundLogger] = structlog.stdlib.get_logger(__name__)


def node_name(settings: NodeSettings) -> str:
    """The node's name in the API: from the settings, the pod's downward API, or the machine's hostname."""
    return settings.name or os.environ.get("NODE_NAME", "") or socket.gethostname()


def run_node(registry: Registry, settings: Settings) -> None:
    """Run until SIGTERM or SIGINT.

    Raises:
        InputError: A setting cannot be used.
        PluginError: A plugin that is needed is missing or broken.
        UnsupportedError: This machine lacks a requirement.
    """
    prepare_memory()
    log_dying_threads()
    sys.setswitchinterval(_SWITCH_INTERVAL)
    claimed, address_sources, backends = (
        settings.enforced_types(registry.claimed_types),
        registry.addresses_from(settings.guest_addresses),
        Backends(registry, settings.backends, settings.common.features),
    )
    backend, name = backends.of(()).name, node_name(settings.node)
    backends.check(settings.common)
    locator = registry.locator(settings.node.sandbox_locator, settings.node.locator)
    made = {gate: registry.gate(gate, settings.gates.settings) for gate in settings.gates.names}
    host = host_filesystem(settings.node.locator)
    denies_unclaimed = settings.unclaimed_interfaces is UnclaimedInterfaces.DENY
    health, metrics, followers = Health(), Metrics(), DeniedFollowers(is_on=settings.denied.in_rules is not None)
    agent: Agent  # the callers of these two are made before them
    source: KubernetesSource
    gates: Gates
    tended: list[Callable[[], None]] = []

    def tend() -> None:
        for each in tended:
            each()

    with ExitStack() as stack:
        if settings.node.listen:
            stack.enter_context(Endpoint(parse_listen_address(settings.node.listen), health=health, metrics=metrics))
        api = connect(settings.node.kubeconfig or None, master=settings.node.master or None)
        stack.callback(api.close)
        identify = lambda ref: source.identity(ref)  # noqa: E731, PLW0108 - there is no source yet
        events = stack.enter_context(EventRecorder(api=api, identify=identify, node=name, counted=metrics.event))
        change_log = ChangeLog(context=lambda pod: _context(agent, pod))
        publishers = [stack.enter_context(each) for each in _publishers(settings.node, name, api, lambda: agent)]
        observer = NodeObserver((metrics, change_log, events, PluginSink(registry), *publishers), health)
        monitor = Monitor[ObjectName](
            lambda pod, topic, generations: agent.noticed(pod, topic, generations),  # noqa: PLW0108 - nor an agent
            lambda pod: agent.listener_lost(pod),  # noqa: PLW0108 - likewise
        )
        stack.callback(monitor.close)
        pool = stack.enter_context(SandboxPool(_WORKERS))
        described = Described(locator, host, pool.run, looks_at_all=denies_unclaimed)
        agent = Agent(
            cluster=ClusterState(
                common=settings.common,
                claimed=claimed,
                node=name,
                peer_addresses=settings.peer_addresses,
                record_labels={source.kind: source.pod_label for source in address_sources},
                budgets=settings.budgets,
                denies_unclaimed=denies_unclaimed,
                logs_annotated=settings.denied.only_annotated,
            ),
            backends=backends,
            locator=described,
            discoverers=registry.make_discoverers(),
            pool=pool,
            locator_executor=stack.enter_context(ThreadPoolExecutor(_LOCATORS, "locator")),
            monitor=monitor,
            observe=observer.outcome,
            own_addresses=settings.own_addresses,
            finalize_after=_FINALIZE_AFTER_SECONDS,
            outside=OutsideState(backends.node_states, partial(list_sandboxes, host.prefix)),
        )
        loop = NodeLoop(agent, observer, tend)
        source = KubernetesSource(
            api,
            tuple(registry.policy_kinds.values()),
            loop.enqueue,
            observer,
            largest_policy=settings.budgets.policy.bytes,
            token=policy_token if publishers else None,
            address_sources=address_sources,
        )
        fetcher = stack.enter_context(PodFetcher(api, loop.enqueue, lambda ref: source.identity(ref) is not None))
        keeper = NodeGatekeeper(
            agent=agent,
            described=described,
            denial=Denial(backend=backends.of(()), pool=pool, common=evolve(settings.common, denied_log=None)),
            settings=settings.gates,
            fetch=fetcher.fetch,
            observe=observer.start_held,
        )
        gates = stack.enter_context(Gates(made, fetcher, observer))
        gates.open(keeper)
        denied = [stack.enter_context(each) for each in _log_denied(agent, pool, settings, metrics, followers)]
        observer.add(*denied)
        tended += [gates.tend, PodCounts(agent, pool, metrics.lost).tend, *(each.tend for each in denied)]
        if settings.node.agent_socket:
            requests = _requests(agent, pool, registry, name, backend, health).kinds() | followers.kinds()
            stack.enter_context(StatusServer(Path(settings.node.agent_socket), requests, node=name))
        for thread in (monitor.thread, events.thread, *source.threads, *_threads(*publishers, *denied)):
            health.depends_on(thread)
        ordinary = {"ordinary": unclaimed} if (unclaimed := sorted(claimed - set(registry.claimed_types))) else {}
        _log.info(
            "started", version=mnp_core.__version__, node=name, backend=backend, kinds=sorted(claimed), **ordinary
        )
        with stopped_by_signals(loop.stop):
            loop.run(source)


def _requests(
    agent: Agent, pool: SandboxPool, registry: Registry, node: str, backend: str, health: Health
) -> AgentRequests:
    dialects = {name: spec.dialect for name, spec in registry.appliers.items()}
    return AgentRequests(
        agent=agent,
        counters=CounterReader(agent=agent, pool=pool),
        comparison=Comparison(agent=agent, pool=pool),
        tracer=Tracer(judge=FlowJudge(agent), pool=pool),
        node=node,
        backend=backend,
        dialects=dialects,
        readiness=health.readiness,
    )


def _log_denied(
    agent: Agent, pool: SandboxPool, settings: Settings, metrics: Metrics, followers: DeniedFollowers
) -> tuple[DeniedPackets, ...]:
    """The log of denied packets; nothing where it is off."""
    if settings.denied.pods is LogDenied.OFF:
        return ()
    count = lambda packet: metrics.denied(packet.pod.namespace)  # noqa: E731 - a listener
    return (DeniedPackets(agent, pool, settings.denied.log, (log_packet, count, followers.put)),)


def _threads(*owners: StatusPublisher | DeniedPackets) -> Iterator[LastingThread]:
    return (each.thread for each in owners)


def _publishers(
    settings: NodeSettings, node: str, api: ApiServer, agent: Callable[[], Agent]
) -> tuple[StatusPublisher, ...]:
    """The publisher of the node's summary, if the settings ask for one."""
    if not settings.publish_status:
        return ()
    publisher = StatusPublisher(
        api=api,
        node=node,
        fingerprint=lambda: agent().cluster.known.fingerprint if agent().started else None,
        look=lambda: NodeView.of(agent().cluster, agent().pods),
        interval=settings.publish_interval,
    )
    return (publisher,)


def _context(agent: Agent, pod: ObjectName) -> PodContext:
    interfaces = [attachment.interface for attachment in agent.cluster.claims(pod)]
    return PodContext(interfaces=interfaces, policies=agent.cluster.policies_of(pod))
