"""A node's loop with real namespaces and nftables, a source that a test feeds, and a gatekeeper."""

import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack

from mnp_core.agent.agent import Agent
from mnp_core.api import GateInterface, PodStart
from mnp_core.backend import Backend
from mnp_core.cluster import ClusterState
from mnp_core.errors import ApiUnreachableError
from mnp_core.model import CommonRules, parse_address
from mnp_core.node.denial import Denial
from mnp_core.node.described import Described
from mnp_core.node.gatekeeper import NodeGatekeeper
from mnp_core.node.loop import NodeLoop
from mnp_core.sandbox.gated import GatesOnly
from mnp_core.sandbox.host import HostFilesystem
from mnp_core.sandbox.pool import SandboxPool
from mnp_core.settings import GateSettings
from mnp_core.testing.builders import namespace, network, present
from mnp_core.testing.netns import End, private_namespace, run_inside, veth_pair
from mnp_nftables import NftablesApplier, NftablesRenderer
from tests.agent.test_agent import Agreeing
from tests.node.test_loop import SOON, Observer, Source

NET = network("net", "macvlan")


class Choice:
    """One backend."""

    def __init__(self, backend):
        self.backend = backend

    def of(self, _attachments):
        return self.backend

    def obstacle(self, _attachments, path):
        return f"no backend reaches {path}"

    def others(self, _chosen):
        return ()


class GatedNode:
    """Runs on a thread of its own; `admit` on one for each pod."""

    def __init__(self, *, denies_unclaimed=False, applier=None, parts={}, **settings):  # noqa: B006 - never changed
        self.stack = ExitStack()
        self.source, self.observer = Source(), Observer()
        self.pool = self.stack.enter_context(SandboxPool(8))
        self.threads = self.stack.enter_context(ThreadPoolExecutor(64))
        self.described = Described(GatesOnly(), HostFilesystem(), self.pool.run, looks_at_all=denies_unclaimed)
        self.backend = Backend(name="nftables", renderer=NftablesRenderer(), applier=applier or NftablesApplier())
        self.agent = Agent(
            cluster=ClusterState(
                common=CommonRules(), claimed=frozenset({"macvlan"}), node="here", denies_unclaimed=denies_unclaimed
            ),
            backends=Choice(self.backend),
            locator=self.described,
            discoverers={"macvlan": Agreeing()},
            pool=self.pool,
            **parts,
        )
        self.loop = NodeLoop(self.agent, self.observer)
        self.server = {}  # pods that only a GET finds
        self.down = False
        self.decisions = []
        self.keeper = NodeGatekeeper(
            agent=self.agent,
            described=self.described,
            denial=Denial(backend=self.backend, pool=self.pool, common=CommonRules()),
            settings=GateSettings(**{"seconds": 2.0, **settings}),
            fetch=self.fetch,
            observe=lambda admission, seconds: self.decisions.append((admission, seconds)),
        )
        self.thread = threading.Thread(target=self.loop.run, args=(self.source,))

    def fetch(self, name):
        future = Future()
        if self.down:
            future.set_exception(ApiUnreachableError("the API server does not answer"))
            return future
        if (pod := self.server.get(name)) is not None:
            self.deliver(present(pod))
        future.set_result(pod)
        return future

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.loop.stop()
        self.thread.join(SOON)
        assert not self.thread.is_alive()
        self.stack.close()

    def deliver(self, *changes):
        self.loop.enqueue(changes, time.monotonic())

    def begin(self, *objects):
        self.deliver(*map(present, (NET, namespace("default"), *objects)))
        self.source.complete = True

    def sandbox(self, *interfaces):
        """A network namespace with an interface for each name, and the other ends elsewhere."""
        inside, outside = (self.stack.enter_context(private_namespace()) for _ in range(2))
        self.outside = dict.fromkeys(interfaces, outside)
        for number, name in enumerate(interfaces):
            veth_pair(End(inside, name, (f"10.0.{number}.1/24",)), End(outside, name, (f"10.0.{number}.2/24",)))
        return inside

    def admit(self, pod, sandbox, **more):
        """Start a pod: a future of the decision."""
        start = PodStart(pod=pod.name, uid=pod.uid, netns=sandbox.path, **more)
        return self.threads.submit(self.keeper.admit, start)

    def rules(self, sandbox):
        """Our rules in a sandbox; None if there are none."""
        installed = run_inside(sandbox, self.backend.applier.installed)
        return installed.digest if installed is not None else None

    def wanted(self, pod):
        return self.agent.ruleset(pod.name).digest


def interface(name="net1", net="default/net", *addresses):
    return GateInterface(name=name, network=net, addresses=tuple(map(parse_address, addresses)))
