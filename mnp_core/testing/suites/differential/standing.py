"""The pods that stand in real namespaces while policies come and go: every way of being attached that matters."""

from itertools import product

from mnp_core.testing.suites.differential.strategies import Nic, Shape
from mnp_core.testing.suites.reference.naive import End

SHAPES = (
    Shape("x", "a", (Nic("net1", "x/blue", ("10.1.0.1", "fd01::1")),)),
    Shape("x", "b", (Nic("net1", "x/blue", ("10.1.0.2", "fd01::2")), Nic("net2", "x/blue", ("10.1.0.3", "fd01::3")))),
    Shape("y", "a", (Nic("net1", "x/blue", ("10.1.0.4", "fd01::4")), Nic("net2", "y/red", ("10.2.0.1", "fd02::1")))),
    Shape("y", "b", (Nic("net1", "y/red", ("10.2.0.2", "fd02::2")), Nic("net2", "x/green", ("10.1.0.1",)))),
    Shape("z", "a", (Nic("net1", "x/green", ("10.1.0.2", "fd03::2")),)),
    Shape("z", "b", (Nic("net1", "x/blue", ("10.1.0.7",)), Nic("net2", "y/red", ("fd02::7",)))),
)
OUTSIDE = {"x/blue": ("10.1.0.6", "fd01::6"), "x/green": ("10.1.0.9", "fd03::6"), "y/red": ("10.2.0.6", "fd02::6")}


def _ends() -> list[tuple[str, End]]:
    """Every address with its network."""
    pods = [
        (nic.network, End(address, f"{shape.namespace}/{shape.name}", nic.name))
        for shape in SHAPES
        for nic in shape.nics
        for address in nic.addresses
    ]
    strangers = [
        (network, End(address, None, network.partition("/")[2]))
        for network, addresses in OUTSIDE.items()
        for address in addresses
    ]
    return pods + strangers


def pairs() -> list[tuple[End, End]]:
    """The possible pairs: on one network, or within one pod."""
    return [
        (source, destination)
        for (here, source), (there, destination) in product(_ends(), repeat=2)
        if (":" in source.address) == (":" in destination.address)
        and (source.pod or destination.pod)
        and (here == there or source.pod == destination.pod)
    ]
