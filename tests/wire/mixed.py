"""A rig with networks of several kinds: some have macvlan interfaces, the others one end of a veth on a bridge."""

from collections.abc import Iterable, Mapping
from itertools import count

from mnp_core.sandbox.netns import run_inside
from mnp_core.testing.netns import End as Link
from mnp_core.testing.netns import bridge, port_of, veth_pair
from mnp_core.testing.suites.wire.rig import Rig, prepare
from mnp_core.testing.wiring import WiredSandbox


class MixedRig(Rig):
    """A node with networks as their CNI types make them, as far as every kernel can."""

    def __init__(self, types: Mapping[str, str], subnets: Iterable[str]) -> None:
        """Build the networks.

        Args:
            types: Their CNI types.
            subnets: The CIDRs that are on the link, the same ones on each network.
        """
        self._types = types
        self._ports = count()
        self._bridges: dict[str, str] = {}
        super().__init__({network: tuple(subnets) for network in types}, {})

    def _plug(self, sandbox: WiredSandbox, interface: str, network: str, addresses: Iterable[str]) -> None:
        if self._types[network] == "macvlan":
            super()._plug(sandbox, interface, network, addresses)
            return
        port = f"v{next(self._ports)}"
        veth_pair(Link(self._switch, port), Link(sandbox.pod, interface, self._with_length(network, addresses)))
        if network in self._bridges:
            port_of(Link(self._switch, port), self._bridges[network])
        else:
            self._bridges[network] = f"b{len(self._bridges)}"
            bridge(self._switch, self._bridges[network], port)
        run_inside(sandbox.packets, lambda: prepare(interface))
