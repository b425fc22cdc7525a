"""A virtual function given to a process: it is reported as unenforceable."""

from contextlib import closing

import pytest
from attrs import evolve

from mnp_core.agent.agent import Agent
from mnp_core.backend import Backends, BackendSettings
from mnp_core.cluster import ClusterState
from mnp_core.model import CommonRules, Reason
from mnp_core.sandbox.links import read_links
from mnp_core.sandbox.netns import run_inside
from mnp_core.sandbox.pool import SandboxPool
from mnp_core.testing import builders as make
from mnp_core.testing.netns import private_namespace
from tests.vm import sriov
from tests.vm.ip import ip

pytestmark = pytest.mark.vm


@pytest.fixture(scope="module")
def given_away():
    """PCI address of a function that is bound to vfio-pci."""
    with sriov.given_away(sriov.functions()[-1]) as device:
        yield device


@pytest.fixture
def pod():
    with private_namespace() as pod:
        yield pod


@pytest.fixture
def discoverer(registry):
    if "sriov" not in registry.claimed_types:
        pytest.skip("no installed plugin claims the CNI type 'sriov'")
    return registry.discoverer("sriov")


def claim_of(device):
    return evolve(make.attachment("dpdk", "fast", "net1", "10.0.0.1", kind="sriov"), device=device)


@pytest.mark.parametrize("pretended", [False, True], ids=["no interface", "an interface of that name"])
def test_function_on_vfio_is_unenforceable(discoverer, given_away, pod, pretended):
    """S64: a process in the pod can make an interface that looks like the one that network-status names."""
    if pretended:
        ip(pod, "link add net1 up type dummy", "addr add 10.0.0.1/24 dev net1")
    found = discoverer.discover(claim_of(given_away), run_inside(pod, read_links))
    assert "vfio-pci" in found.unenforceable
    assert found.attachment == claim_of(given_away)


def test_function_that_the_pod_did_not_get_is_unenforceable(discoverer, pod):
    """S64: the same with a function that the card's driver still has on the node."""
    found = discoverer.discover(claim_of(sriov.functions()[0]), run_inside(pod, read_links))
    assert "none by that name" in found.unenforceable


def test_agent_reports_the_function_on_vfio(discoverer, given_away, pod, registry):
    """S64: the report denies enforcement on this interface, with any rules in the pod."""
    status = evolve(make.status("fast", "net1", "10.0.0.1"), device_pci=given_away)
    deny = make.policy("deny", networks=["fast"], ingress=[], egress=[])
    objects = (make.network("fast", "sriov"), make.pod("dpdk", status), deny)

    class Locator:
        def locate(self, _):
            return pod

    with closing(SandboxPool(workers=1)) as pool:
        agent = Agent(
            cluster=ClusterState(common=CommonRules(), claimed=registry.claimed_types),
            backends=Backends(registry, BackendSettings()),
            locator=Locator(),
            discoverers={"sriov": discoverer},
            pool=pool,
        )
        sync = agent.sync(map(make.present, objects))
    (report,) = [report for report in sync.reports if report.reason is Reason.UNENFORCEABLE]
    assert str(report.about.name) == "default/dpdk"
    assert given_away in report.message
