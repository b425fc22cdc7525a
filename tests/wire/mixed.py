"""A rig with networks of several kinds: some have macvlan interfaces, the others one end of a veth on a bridge."""

from collections.abc import Iterable, Mapping
from itertools import count

from pyroute2 import IPRoute

from mnp_core.api import Sandbox
from mnp_core.sandbox.netns import run_inside
from mnp_core.testing.netns import End as Link
from mnp_core.testing.netns import bridge, veth_pair
from mnp_core.testing.suites.wire.rig import Rig, prepare


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

    def _plug(self, sandbox: Sandbox, interface: str, network: str, addresses: Iterable[str]) -> None:
        if self._types[network] == "macvlan":
            super()._plug(sandbox, interface, network, addresses)
            return
        port = f"v{next(self._ports)}"
        veth_pair(Link(self._switch, port), Link(sandbox, interface, self._with_length(network, addresses)))
        if network in self._bridges:
            run_inside(self._switch, lambda: _enslave(port, self._bridges[network]))
        else:
            self._bridges[network] = f"b{len(self._bridges)}"
            bridge(self._switch, self._bridges[network], port)
        run_inside(sandbox, lambda: prepare(interface))


def _enslave(port: str, master: str) -> None:
    with IPRoute() as kernel:
        (index,), (its_index,) = kernel.link_lookup(ifname=port), kernel.link_lookup(ifname=master)
        kernel.link("set", index=index, master=its_index)
