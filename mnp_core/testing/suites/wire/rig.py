"""Pods in network namespaces that the real agent enforces policy on, and packets between them.

The rig does the work of kubelet and meta-plugin: a pod in the manifests that has a sandbox at all gets a namespace
with the interfaces of its network-status, and loses it when it goes. Then the agent gets the changes. Namespaces
of pods that stay are kept, so a change of labels or policies takes the time of the agent alone.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Self

from mnp_core.agent.agent import Agent
from mnp_core.api import Result, Sandbox, Sync
from mnp_core.backend import Backend, Backends, BackendSettings
from mnp_core.cluster import ClusterState
from mnp_core.errors import SandboxNotFoundError
from mnp_core.model import AddressSource, Attachment, CommonRules, LinkPath, ObjectName, Pod
from mnp_core.plugins import load_plugins
from mnp_core.sandbox.created import new_namespace
from mnp_core.sandbox.monitor import Monitor
from mnp_core.sandbox.netns import run_inside
from mnp_core.sandbox.pool import SandboxPool
from mnp_core.testing.netns import End as Link
from mnp_core.testing.suites.reference.naive import full_name, interfaces, is_peer, of_kind
from mnp_core.testing.suites.wire.attachments import claimed_types, make_discoverers
from mnp_core.testing.suites.wire.hosts import Probe, RawHosts
from mnp_core.testing.suites.wire.living import Living, Manifest, make_decoder
from mnp_core.testing.wiring import Plain, WiredSandbox, Wiring
from mnp_lab.transport.neighbours import forget_neighbours

SYSCTLS = {  # every address answers on its own interface, also where a pod has two on one network
    "arp_ignore": "1",
    "arp_announce": "2",
    "rp_filter": "0",
}


class _Chosen:
    """Backends, one of them replaced."""

    def __init__(self, backends: Backends, choose: Callable[[Backend], Backend]) -> None:
        self._backends, self._choose = backends, choose

    def of(self, attachments: Iterable[Attachment]) -> Backend:
        return self._choose(self._backends.of(attachments))

    def obstacle(self, attachments: Iterable[Attachment], path: LinkPath) -> str:
        """As installed."""
        return self._backends.obstacle(attachments, path)

    def others(self, chosen: Backend) -> tuple[Backend, ...]:
        """Other backends that may be in force in a sandbox."""
        return self._backends.others(chosen)


class Rig:
    """A node: networks, pods on them, hosts that are no pods, and the agent."""

    def __init__(
        self,
        subnets: Mapping[str, Iterable[str]],
        outside: Mapping[str, tuple[str, ...]],
        choose: Callable[[Backend], Backend] = lambda backend: backend,
        backend: str = "",
        peer_addresses: AddressSource = AddressSource.NETWORK_STATUS,
        *,
        listening: bool = False,
        wiring: Wiring | None = None,
    ) -> None:
        """Build the networks.

        Args:
            subnets: By network, the CIDRs that are on the link.
            outside: By network, addresses that belong to no pod; their interface is called like the network.
            choose: A replacement for the installed backend.
            backend: Which one; empty for the one that an agent would choose.
            peer_addresses: The setting of that name.
            listening: Whether the agent is notified of changes in sandboxes, as on a node; `until` takes them in.
            wiring: Of pods to networks; without one, by macvlan interfaces.
        """
        self._cleanup = ExitStack()
        self._wiring = wiring or Plain()
        self._subnets = {network: [*map(ip_network, cidrs)] for network, cidrs in subnets.items()}
        self._standing: dict[str, tuple[list[Manifest], ExitStack]] = {}
        self._sandboxes: dict[str, WiredSandbox] = {}
        self._switch = self._cleanup.enter_context(new_namespace()).sandbox
        self._parents = {network: Link(self._switch, f"p{number}") for number, network in enumerate(subnets)}
        for parent in self._parents.values():
            self._wiring.make_network(parent)
        self._living = Living(make_decoder())
        self.agent = self._make_agent(choose, backend, peer_addresses, self._monitor() if listening else None)
        self.hosts = self._cleanup.enter_context(RawHosts({}))
        self._stand_outside(outside)

    def become(self, objects: list[Manifest]) -> None:
        """Go on to another state of the cluster; returns when it is in force."""
        sync = self.sync(objects)
        failed = [outcome for outcome in sync.outcomes if outcome.result is Result.FAILED]
        if failed:
            raise AssertionError(f"not enforced: {failed}")

    def sync(self, objects: list[Manifest]) -> Sync:
        """Give the agent another state of the cluster; returns when it has tried to enforce it."""
        self._fall_and_stand(objects)
        return self.agent.sync(self._living.become(objects))

    def wrong(self, expected: Mapping[Probe, bool]) -> dict[Probe, bool]:
        """Packets with an unexpected verdict."""
        return self.hosts.wrong(expected)

    def locate(self, pod: Pod) -> Sandbox:
        """The locator of the agent."""
        try:
            return self._sandboxes[str(pod.name)].pod
        except KeyError:
            raise SandboxNotFoundError(f"pod {pod.name} has no sandbox here") from None

    def sandbox(self, pod: str) -> Sandbox:
        """Where a pod's packets come from and go to."""
        return self._sandboxes[pod].packets

    def close(self) -> None:
        for _, namespace in self._standing.values():
            namespace.close()
        self._cleanup.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def until(self, holds: Callable[[], bool], patience: float = 10.0) -> bool:
        """Run the agent until something holds and all is done, or patience ends; returns which."""
        end = time.monotonic() + patience
        while not (held := holds() and not self.agent.busy) and time.monotonic() < end:
            self.agent.process(0.1)
        return held

    def _monitor(self) -> Monitor[ObjectName]:
        monitor = Monitor[ObjectName](lambda *notice: self.agent.noticed(*notice))  # noqa: PLW0108 - made later
        self._cleanup.callback(monitor.close)
        return monitor

    def _make_agent(
        self,
        choose: Callable[[Backend], Backend],
        backend: str,
        peer_addresses: AddressSource,
        monitor: Monitor[ObjectName] | None,
    ) -> Agent:
        registry = load_plugins()
        backends = Backends(registry, BackendSettings(node=backend))
        return Agent(
            cluster=ClusterState(common=CommonRules(), claimed=claimed_types(registry), peer_addresses=peer_addresses),
            backends=_Chosen(backends, choose),
            locator=self,
            discoverers=make_discoverers(registry),
            pool=self._cleanup.enter_context(SandboxPool(workers=4)),
            monitor=monitor,
        )

    def _fall_and_stand(self, objects: list[Manifest]) -> None:
        wanted = {full_name(pod): interfaces(pod) for pod in of_kind(objects, "Pod") if is_peer(pod)}
        for name in [name for name, (nics, _) in self._standing.items() if wanted.get(name) != nics]:
            sandbox, (nics, namespace) = self._sandboxes.pop(name), self._standing.pop(name)
            for nic in nics:  # as a CNI plugin does, whoever still holds the namespace
                self._wiring.unplug(sandbox, nic["interface"])
            namespace.close()
            self.hosts.remove(name)
        new = wanted.keys() - self._standing.keys()
        if new:  # whose addresses may have been others' before, with other MAC addresses: a CNI plugin announces them
            for packets in [*(each.packets for each in self._sandboxes.values()), self._outside]:
                run_inside(packets, forget_neighbours)
        for name in new:
            self._stand(name, wanted[name])

    def _stand(self, name: str, nics: list[Manifest]) -> None:
        namespace = ExitStack()
        sandbox = self._sandboxes[name] = self._wiring.make_pod(namespace)
        self._standing[name] = (nics, namespace)
        for nic in nics:
            self._plug(sandbox, nic["interface"], nic["network"], nic["addresses"])
        self.hosts.add(name, sandbox.packets)

    def _stand_outside(self, outside: Mapping[str, tuple[str, ...]]) -> None:
        sandbox = self._outside = self._cleanup.enter_context(new_namespace()).sandbox
        for network, addresses in outside.items():
            link = Link(sandbox, network.partition("/")[2], self._with_length(network, addresses))
            self._wiring.plug_host(self._parents[network], link)
            run_inside(sandbox, lambda name=link.name: prepare(name))
        self.hosts.add(None, sandbox)

    def _plug(self, sandbox: WiredSandbox, interface: str, network: str, addresses: Iterable[str]) -> None:
        self._wiring.plug(self._parents[network], sandbox, interface, self._with_length(network, addresses))
        run_inside(sandbox.packets, lambda: prepare(interface))

    def _with_length(self, network: str, addresses: Iterable[str]) -> tuple[str, ...]:
        lengths = {subnet.version: subnet.prefixlen for subnet in self._subnets[network]}
        return tuple(f"{address}/{lengths[ip_address(address).version]}" for address in addresses)


def prepare(interface: str) -> None:
    """Make an interface of the namespace that the caller is in answer for its own addresses alone."""
    for name, value in SYSCTLS.items():
        Path(f"/proc/sys/net/ipv4/conf/{interface}/{name}").write_text(value)
