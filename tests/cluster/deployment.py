"""A Deployment of a component of deploy/kustomize on the test bed, from the manifests as they are shipped.

The bed has one node, and no kube-proxy: pods of the default network reach neither the API server nor Services. So the
Deployment has one replica, on the network of the node, with ports of its own there, and a proxy of the test stands at
the address of its Service.
"""

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import yaml

from scripts.testbed import bed as testbed
from scripts.testbed import place
from scripts.testbed.errors import TestBedError
from tests.cluster.api_gate import ApiGate
from tests.cluster.nodeagent import environment, kubectl
from tests.cluster.objects import Objects

NAMESPACE = "kube-system"
_COMPONENTS = place.CHECKOUT / "deploy/kustomize/components"
_PATIENCE = 120  # seconds
_NEWER = "ValidatingAdmissionPolicy"  # kinds that old API servers do not have
Object = dict[str, Any]


def manifests(component: str) -> list[Object]:
    """The objects of a component."""
    folder = _COMPONENTS / component
    names = yaml.safe_load((folder / "kustomization.yaml").read_text())["resources"]
    return [each for name in names for each in yaml.safe_load_all((folder / name).read_text())]


@contextmanager
def deployed(objects: Objects, component: str, *, old: bool = False) -> Iterator[None]:
    """A component of deploy/kustomize, until its Deployment is available; removed afterwards.

    Args:
        objects: Of the bed.
        component: Its name.
        old: Whether the API server has no ValidatingAdmissionPolicies.
    """
    found = [each for each in manifests(component) if not (old and each["kind"].startswith(_NEWER))]
    (name,) = (each["metadata"]["name"] for each in found if each["kind"] == "Deployment")
    try:
        for each in found:
            objects.apply(_for_bed(each) if each["kind"] == "Deployment" else each)
        _await(objects, name)
        yield
    finally:
        for each in reversed(found):
            metadata = each["metadata"]
            kind = f"{each['apiVersion']}/{each['kind']}"
            objects.delete(kind, metadata["name"], metadata.get("namespace", ""))


@contextmanager
def routed(objects: Objects, service: str, target: int) -> Iterator[None]:
    """In place of kube-proxy: connections to a Service's address and port go to a port of the node."""
    spec = objects.get("v1/Service", service, NAMESPACE)["spec"]
    with ApiGate(target, listen=(spec["clusterIP"], spec["ports"][0]["port"])):
        yield


def log(name: str) -> str:
    """The log of a Deployment's pod."""
    return kubectl("--namespace", NAMESPACE, "logs", f"deployment/{name}", "--tail=-1")


def may(account: str, *question: str) -> bool:
    """Whether a ServiceAccount may, as `kubectl auth can-i` answers."""
    who = f"--as=system:serviceaccount:{NAMESPACE}:{account}"
    command = [str(testbed.kubectl()), "auth", "can-i", "--quiet", *question, who, "--namespace", NAMESPACE]
    return subprocess.run(command, env=environment(), capture_output=True, check=False).returncode == 0


def on_bed(port: int) -> int:
    """A port of the component on the network of the node, which is that of this machine."""
    return port + 10_000


def _for_bed(deployment: Object) -> Object:
    moved = re.sub(r"(?<!\d)9\d{3}(?!\d)", lambda port: str(on_bed(int(port[0]))), json.dumps(deployment))
    deployment = json.loads(moved)
    template = deployment["spec"]["template"]
    pod = {**template["spec"], "hostNetwork": True}
    return {**deployment, "spec": {**deployment["spec"], "replicas": 1, "template": {**template, "spec": pod}}}


def _await(objects: Objects, name: str) -> None:
    try:
        objects.wait_until("apps/v1/Deployment", name, _is_available, NAMESPACE, patience=_PATIENCE)
    except TestBedError as error:
        raise AssertionError(log(name)) from error


def _is_available(deployment: Object) -> bool:
    wanted = {"availableReplicas": 1, "observedGeneration": deployment["metadata"]["generation"]}
    return wanted.items() <= deployment.get("status", {}).items()
