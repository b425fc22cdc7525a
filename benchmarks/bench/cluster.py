"""The test bed with a node and pods that are objects, and policies for them."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from attrs import frozen

from benchmarks.bench import manifests
from benchmarks.bench.local_pods import LocalPods
from benchmarks.bench.manifests import FAR, NAMESPACE, NODE
from benchmarks.bench.measurement import Unavailable
from benchmarks.bench.runtime import runtime
from scripts.testbed import bed, place
from scripts.testbed.api import ApiError
from scripts.testbed.errors import TestBedError
from tests.cluster.components import command
from tests.cluster.fleet import Fleet
from tests.cluster.objects import Objects

POLICY: Final = "k8s.cni.cncf.io/v1beta1/MultiNetworkPolicy"
POD: Final = "v1/Pod"

_CHECKOUT: Final = Path(__file__).parents[2]
_DEFINITIONS: Final = _CHECKOUT / "tests/cluster/data/networkattachmentdefinitions.yml", _CHECKOUT / "deploy/scheme.yml"
_BUILD_PATIENCE: Final = 3600  # seconds
_THREADS: Final = 8


@frozen(kw_only=True)
class Cluster:
    """What is measured on; made by `cluster`.

    Attributes:
        objects: Of the API server.
        fleet: Makes pods.
        socket: Of the node's container runtime, while it has pods.
    """

    objects: Objects
    fleet: Fleet
    socket: Path

    def write_policies(self, per_pod: int) -> None:
        """Let these be all policies; see `manifests.policies`."""
        self.objects.request("DELETE", self.objects.collection(POLICY, NAMESPACE))
        with ThreadPoolExecutor(_THREADS) as threads:
            list(threads.map(lambda each: self.objects.create(each, NAMESPACE), manifests.policies(per_pod)))

    def add_far_pods(self, first: int, end: int) -> None:
        """Make pods of another node, by numbers."""
        self.fleet.fake_pods(end - first, FAR, NAMESPACE, lambda number: manifests.far_pod(first + number))

    @contextmanager
    def node(self, pods: LocalPods) -> Iterator[None]:
        """Let pods be those of the node, in the API and in its runtime's list."""
        by_name = {each.name: each for each in pods.pods}
        made = [manifests.local_pod(number, each.name, str(each.address)) for number, each in enumerate(pods.pods)]
        self.fleet.fake_pods(len(made), NODE, NAMESPACE, made.__getitem__)
        with ThreadPoolExecutor(_THREADS) as threads:
            list(threads.map(self._run, by_name))
        found = self.objects.list(POD, NAMESPACE, labels="node=here")
        uids = {each["metadata"]["uid"]: by_name[each["metadata"]["name"]] for each in found}
        try:
            with runtime(self.socket, NAMESPACE, uids):
                yield
        finally:
            path = self.objects.collection(POD, NAMESPACE)
            self.objects.request("DELETE", path, {"gracePeriodSeconds": 0}, query={"labelSelector": "node=here"})

    def _run(self, name: str) -> None:
        self.objects.patch(POD, name, {"status": manifests.running(name)}, NAMESPACE, part="status")


@contextmanager
def cluster() -> Iterator[Cluster]:
    """The bed, brought up unless it is; what is made there is removed afterwards.

    Raises:
        Unavailable: It cannot be brought up here.
    """
    if os.geteuid() != 0:
        raise Unavailable("the test bed needs root: run make bench as root")
    with ExitStack() as stack:
        ours = not bed.is_up()
        if ours:
            stack.callback(command, "down")
            _bring_up()
        objects = Objects(place.KUBECONFIG)
        stack.callback(objects.close)
        fleet = Fleet(objects)
        _check_reachable(objects)
        if not ours:
            stack.callback(_clean, objects, fleet)
        _prepare(objects, fleet)
        socket = Path(stack.enter_context(TemporaryDirectory())) / "cri.sock"
        yield Cluster(objects=objects, fleet=fleet, socket=socket)


def _bring_up() -> None:
    try:
        command("up", patience=_BUILD_PATIENCE)
    except TestBedError as error:
        raise Unavailable(f"the test bed does not come up ({error}): see docs/testbed.md") from error


def _check_reachable(objects: Objects) -> None:
    try:
        objects.request("GET", "/version")
    except OSError as error:
        remedy = "is it in another network namespace? make testbed-down, there"
        raise Unavailable(f"the test bed is up, but its API server cannot be reached ({error}): {remedy}") from error


def _prepare(objects: Objects, fleet: Fleet) -> None:
    for each in _DEFINITIONS:
        objects.apply(each)
    objects.wait_for("policies are served", lambda: served(objects))
    objects.wait_for("the namespace of the last run is gone", lambda: not _is_ending(objects))
    objects.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    objects.wait_for("a ServiceAccount", lambda: objects.find("v1/ServiceAccount", "default", NAMESPACE))
    objects.apply(manifests.network())
    fleet.remove_pods(NAMESPACE)  # of a run that was killed
    for name in (NODE, FAR):
        fleet.node(name)


def _is_ending(objects: Objects) -> bool:
    found = objects.find("v1/Namespace", NAMESPACE)
    return found is not None and "deletionTimestamp" in found["metadata"]


def served(objects: Objects) -> bool:
    """Whether the API server serves policies."""
    try:
        objects.list(POLICY, NAMESPACE)
    except ApiError:
        return False
    return True


def _clean(objects: Objects, fleet: Fleet) -> None:
    fleet.remove_pods(NAMESPACE)
    objects.delete("v1/Namespace", NAMESPACE, wait=False)
    for name in (NODE, FAR):
        fleet.remove_node(name)
