"""The node agent as deployed: a DaemonSet from deploy/, with an image that is built from this checkout."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import yaml
from prometheus_client.parser import text_string_to_metric_families

from scripts.testbed import bed as testbed
from scripts.testbed import place
from scripts.testbed.command import run
from scripts.testbed.images import import_archive
from scripts.testbed.kind import chosen
from tests.cluster.fixtures import Scene
from tests.cluster.objects import Objects
from tests.deploy.test_agent import build

NAMESPACE, NAME = "kube-system", "mnp-node"
URL = "http://127.0.0.1:9469"  # as deploy/ has it; the node's own network is that of this machine
_PODS = f"app.kubernetes.io/name={NAME}"
_ARCHIVE = place.CHECKOUT / "build/image.tar"
_SOURCES = (
    "mnp_core",
    "plugins",
    "deploy/image",
    "deploy/deploy.yml",
    "pyproject.toml",
    "scripts/testbed/image",
    "scripts/wheels",
)
_PATIENCE = 120  # seconds
_COMPONENT = "multi-network-policy-node"
_FOR_RUNTIME = {"containerd": (), "crio": ("crio",)}  # components of kustomize


class NodeAgent:
    """The agent on the one node of the test bed."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def deploy(self, *components: str, settings: Mapping[str, Any] | None = None) -> None:
        """Apply the objects of deploy/ with these components of kustomize and settings, and wait until they run."""
        for manifest in build(*_FOR_RUNTIME[chosen().runtime], *components).values():
            self._objects.apply(manifest if manifest["kind"] != "ConfigMap" else _changed(manifest, settings or {}))
        self._await_rollout()

    def roll(self, why: str) -> None:
        """Replace the running pod, like ``kubectl rollout restart``."""
        template = {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": why}}}
        self._objects.patch("apps/v1/DaemonSet", NAME, {"spec": {"template": template}}, NAMESPACE)
        self._await_rollout()

    def remove(self) -> None:
        """Delete all its objects; rules stay in force."""
        for manifest in build().values():
            kind, metadata = f"{manifest['apiVersion']}/{manifest['kind']}", manifest["metadata"]
            self._objects.delete(kind, metadata["name"], metadata.get("namespace", ""))
        self._objects.wait_for("no agent runs", lambda: all(map(_has_ended, self.pods())), patience=_PATIENCE)
        for pod in self.pods():  # kubelets take up to a minute to say so to the API server
            self._objects.delete("v1/Pod", pod["metadata"]["name"], NAMESPACE, grace=0)

    def pods(self) -> list[dict[str, Any]]:
        """The DaemonSet's, those that are ending included."""
        return self._objects.list("v1/Pod", NAMESPACE, labels=_PODS)

    def readiness(self) -> tuple[int, str]:
        """The answer to the readiness probe: status and text."""
        return _ask("/readyz")

    def metric(self, name: str, **labels: str) -> float:
        """The sum of all series of a metric that have these labels."""
        return sum(
            sample.value
            for family in text_string_to_metric_families(_ask("/metrics")[1])
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def log(self) -> str:
        """The agent's log."""
        return kubectl("--namespace", NAMESPACE, "logs", f"daemonset/{NAME}", "--tail=-1")

    def _await_rollout(self) -> None:
        self._objects.wait_for(f"the DaemonSet {NAME} is rolled out", self._rolled_out, patience=_PATIENCE)

    def _rolled_out(self) -> bool:
        found = self._objects.get("apps/v1/DaemonSet", NAME, NAMESPACE)
        wanted = {"updatedNumberScheduled": 1, "numberReady": 1, "observedGeneration": found["metadata"]["generation"]}
        return wanted.items() <= found["status"].items() and len(self.pods()) == 1


def errors(agent: NodeAgent) -> float:
    """Attempts that failed, those apart that found no sandbox yet: no alert counts these (docs/operations.md)."""
    name = "mnp_apply_failures_total"
    return agent.metric(name) - agent.metric(name, reason="NotFound")


def events(objects: Objects, namespace: str) -> list[dict[str, Any]]:
    """Those of the agent."""
    found = objects.list("v1/Event", namespace)
    return [each for each in found if each.get("source", {}).get("component", "").startswith(_COMPONENT)]


def complaints(scene: Scene, agent: NodeAgent, pod: str) -> list[str]:
    """The agent's Events in the scene's namespace, and warnings and errors about a pod in its log."""
    said = [line for line in agent.log().splitlines() if f"{scene.namespace}/{pod}" in line]
    loud = [line for line in said if "ERROR" in line or "WARN" in line]
    return [*(each["message"] for each in events(scene.objects, scene.namespace)), *loud]


def give_image() -> None:
    """Build the image of deploy/deploy.yml from this checkout and import it into the node's runtime."""
    if _is_older(_ARCHIVE):
        run(place.SOURCES / "image", cwd=place.CHECKOUT, patience=1200)
    else:
        import_archive(_ARCHIVE)


def _changed(manifest: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """The ConfigMap with other settings."""
    data = dict(manifest["data"])
    data["settings.yaml"] = yaml.safe_dump(yaml.safe_load(data["settings.yaml"]) | dict(settings))
    return {**manifest, "data": data}


def _has_ended(pod: Mapping[str, Any]) -> bool:
    return all("terminated" in container["state"] for container in pod["status"].get("containerStatuses", ()))


def environment() -> dict[str, str]:
    """Environment of programs that use the cluster: kubectl and mnp."""
    path = os.pathsep.join((str(testbed.kubectl().parent), str(Path(sys.executable).parent), os.environ["PATH"]))
    return {**os.environ, "KUBECONFIG": str(place.KUBECONFIG), "PATH": path}


def kubectl(*words: str, stdin: str = "") -> str:
    """Run kubectl; return its output."""
    command = (str(testbed.kubectl()), *words)
    return subprocess.run(command, env=environment(), input=stdin, check=True, capture_output=True, text=True).stdout


def _ask(path: str) -> tuple[int, str]:
    try:
        with urlopen(URL + path, timeout=10) as answer:  # noqa: S310 # it is a constant
            return answer.status, answer.read().decode()
    except HTTPError as error:
        with error:
            return error.code, error.read().decode()


def _is_older(archive: Path) -> bool:
    """Whether anything that goes into the image has changed since."""
    if not archive.exists():
        return True
    files = [path for name in _SOURCES for path in (place.CHECKOUT / name, *(place.CHECKOUT / name).rglob("*"))]
    return any(
        path.stat().st_mtime > archive.stat().st_mtime for path in files if path.is_file() and path.suffix != ".pyc"
    )
