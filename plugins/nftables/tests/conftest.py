"""Pods with links to somewhere."""

from contextlib import ExitStack

import pytest

from mnp_core.testing.netns import End, private_namespace, veth_pair
from plugins.nftables.tests.wire import Host, PolicedHost, Wire


@pytest.fixture
def cleanup():
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def wire(cleanup):
    """A pod and its neighbour."""
    return Wire(cleanup)


@pytest.fixture
def pod(cleanup):
    """A pod that has no links: enough to load rules."""
    return PolicedHost(cleanup.enter_context(private_namespace()), cleanup)


@pytest.fixture
def router(cleanup):
    """A pod that forwards between ``net1``, where `left` is, and ``net2``, where `right` is."""
    pod = PolicedHost(cleanup.enter_context(private_namespace()), cleanup)
    left, right = (Host(cleanup.enter_context(private_namespace()), cleanup) for _ in range(2))
    for host in (pod, left, right):
        host.sysctl("ipv6/conf/default/accept_dad", "0")  # a router does not look for neighbours before
    veth_pair(
        End(left.sandbox, "l", ("10.1.0.2/24", "fd01::2/64")), End(pod.sandbox, "net1", ("10.1.0.1/24", "fd01::1/64"))
    )
    veth_pair(
        End(right.sandbox, "r", ("10.2.0.2/24", "fd02::2/64")), End(pod.sandbox, "net2", ("10.2.0.1/24", "fd02::1/64"))
    )
    for host, side in ((left, 1), (right, 2)):
        host.route(f"10.{side}.0.1", f"fd0{side}::1")
    pod.sysctl("ipv4/ip_forward", "1")
    pod.sysctl("ipv6/conf/all/forwarding", "1")
    return pod, left, right
