"""Tests on a real cluster: `make test-cluster`. See docs/testbed.md."""

import multiprocessing
import os
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from mnp_core.testing.suites.atomicity import traffic
from scripts.testbed import bed as testbed
from scripts.testbed import place
from tests.cluster.agent import AgentProcess
from tests.cluster.components import command
from tests.cluster.definitions import OURS, define, undefine_all
from tests.cluster.fixture import Bed, Cluster
from tests.cluster.fixtures import Scene
from tests.cluster.four_pods import FourPods
from tests.cluster.manifests import network
from tests.cluster.nodeagent import NodeAgent, give_image

HERE = Path(__file__).parent
_UP_PATIENCE = 3600  # seconds; a cache that is empty is filled first


def pytest_collection_modifyitems(items):
    """Run the test that removes the cluster last."""
    here = [item for item in items if item.path.is_relative_to(HERE)]
    for item in here:
        item.add_marker(pytest.mark.cluster)
    items.sort(key=lambda item: item.path == HERE / "test_down.py")


@pytest.fixture(scope="session")
def cluster():
    """A cluster with an API server: the user's own (KUBECONFIG), else the test bed."""
    kubeconfig = Path(place.OWN_CLUSTER or place.KUBECONFIG)
    ours = not place.OWN_CLUSTER and _bring_up()
    found = Cluster(kubeconfig) if place.OWN_CLUSTER else Bed(kubeconfig, was_up=not ours)
    try:
        found.objects.apply(HERE / "data/networkattachmentdefinitions.yml")
        yield found
    finally:
        found.objects.close()
        if ours:
            command("down")


@pytest.fixture(scope="session")
def bed(cluster):
    """The test bed: its processes can be stopped, its pods inspected."""
    if not isinstance(cluster, Bed):
        pytest.skip("KUBECONFIG names a cluster of your own: this test looks into the node of the test bed")
    return cluster


@pytest.fixture
def namespace(cluster):
    """A namespace of the test's own. Its pods are forgotten at once when the test ends, then the kubelet ends them."""
    with _new_namespace(cluster) as name:
        yield name


@pytest.fixture
def other_namespace(cluster):
    """Another namespace."""
    with _new_namespace(cluster) as name:
        yield name


@contextmanager
def _new_namespace(cluster):
    name = f"t-{os.urandom(4).hex()}"
    objects = cluster.objects
    objects.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    objects.wait_for(f"{name} has a ServiceAccount", lambda: objects.find("v1/ServiceAccount", "default", name))
    try:
        yield name
    finally:
        objects.request("DELETE", objects.collection("v1/Pod", name), {"gracePeriodSeconds": 0})
        objects.delete("v1/Namespace", name, wait=False)


@pytest.fixture(scope="module")
def four_pods(bed):
    """Pods that packets flow between, and the policies for them."""
    with _new_namespace(bed) as name:
        try:
            yield FourPods(bed, name)
        finally:
            undefine_all(bed.objects)


@pytest.fixture
def process(bed, tmp_path):
    """The node agent as a process of this machine; not started yet."""
    with closing(AgentProcess(bed, tmp_path / "agent.log")) as made:
        yield made


@pytest.fixture(scope="session")
def context():
    """Processes that start quickly: forked from one that has imported everything and has no threads."""
    made = multiprocessing.get_context("forkserver")
    made.set_forkserver_preload([traffic.__name__])
    return made


@pytest.fixture
def scene(bed, namespace):
    """That namespace on the test bed, with a network `red` in it."""
    bed.objects.apply(network("red", "10.77.1.0/24"), namespace)
    return Scene(bed, namespace)


@pytest.fixture(scope="session")
def node_agent(bed):
    """The node agent, with its image loaded and leftovers of earlier runs removed."""
    give_image()
    agent = NodeAgent(bed.objects)
    agent.remove()
    undefine_all(bed.objects)
    yield agent
    if testbed.is_up():  # the last tests take it down
        undefine_all(bed.objects)


@pytest.fixture(scope="module")
def agent(bed, node_agent):
    """The node agent runs, and the cluster has our definition, for the tests of one file."""
    define(bed.objects, OURS)
    try:
        node_agent.deploy()
        yield node_agent
    finally:
        node_agent.remove()
        undefine_all(bed.objects)


def _bring_up():
    """Bring the bed up unless it is; return whether that was needed."""
    if os.geteuid() != 0:
        pytest.skip("needs root: the test bed makes namespaces, links and control groups")
    if testbed.is_up():
        return False
    command("up", patience=_UP_PATIENCE)
    return True
