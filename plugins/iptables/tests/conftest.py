"""Pods with links to somewhere, once for each way into the kernel."""

from contextlib import ExitStack

import pytest

from mnp_core.testing.netns import End, private_namespace, veth_pair
from plugins.iptables.tests.pods import Pod
from plugins.nftables.tests.wire import Host, Wire


# Both ways speak one language, and the kit's standard tests try both (test_conformance.py).
@pytest.fixture(params=["nft", pytest.param("legacy", marks=pytest.mark.full)])
def way(request):
    return request.param


@pytest.fixture
def cleanup():
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def wire(cleanup, way):
    """A pod and its neighbour."""
    wire = Wire(cleanup)
    wire.pod = Pod(wire.pod.sandbox, cleanup, way)
    return wire


@pytest.fixture
def pod(cleanup, way):
    """A pod that has no links: enough to load rules."""
    return Pod(cleanup.enter_context(private_namespace()), cleanup, way)


@pytest.fixture
def router(cleanup, way):
    """A pod that forwards between ``net1``, where `left` is, and ``net2``, where `right` is."""
    pod = Pod(cleanup.enter_context(private_namespace()), cleanup, way)
    sides = tuple(Host(cleanup.enter_context(private_namespace()), cleanup) for _ in range(2))
    for host in (pod, *sides):
        host.sysctl("ipv6/conf/default/accept_dad", "0")  # a router does not look for neighbours before
    for number, host in enumerate(sides, start=1):
        inside, outside = ((f"10.{number}.0.{end}/24", f"fd0{number}::{end}/64") for end in (1, 2))
        veth_pair(End(host.sandbox, "far", outside), End(pod.sandbox, f"net{number}", inside))
        host.route(f"10.{number}.0.1", f"fd0{number}::1")
    pod.sysctl("ipv4/ip_forward", "1")
    pod.sysctl("ipv6/conf/all/forwarding", "1")
    return pod, *sides
