"""A namespace with pods and policies, observed by packets."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from mnp_core.model import ObjectName
from mnp_core.netfilter.nf_tables import generation
from mnp_core.offline.probe import ProbeVerdict
from tests.cluster.fixture import Bed
from tests.cluster.manifests import running
from tests.cluster.quiescence import at_rest

PATIENCE = 45  # seconds until a change has to be in force; generous, because machines are busy


class Scene:
    """One namespace. A pod in another is named ``namespace/name``."""

    def __init__(self, bed: Bed, namespace: str) -> None:
        self.bed = bed
        self.objects = bed.objects
        self.namespace = namespace

    def apply(self, *manifests: Mapping[str, Any]) -> None:
        """Create or change objects."""
        for manifest in manifests:
            self.objects.apply(manifest, self.namespace)

    def run(self, *pods: Mapping[str, Any]) -> None:
        """Create pods, and wait until they run."""
        self.apply(*pods)
        for pod in pods:
            self.wait_until_runs(pod["metadata"]["name"])

    def pod(self, name: str) -> dict[str, Any]:
        """As the API server has it."""
        return self.objects.get("v1/Pod", name, self.namespace)

    def wait_until_runs(self, name: str) -> None:
        """And is ready."""
        self.objects.wait_until("v1/Pod", name, running, self.namespace, patience=90)

    def relabel(self, name: str, **labels: str | None) -> None:
        """Change labels of a pod; None takes one away."""
        self.objects.patch("v1/Pod", name, {"metadata": {"labels": labels}}, self.namespace)

    def delete(self, *names: str, kind: str = "v1/Pod") -> None:
        """Delete objects without grace: the kubelet's clean-up may take a minute."""
        for name in names:
            self.objects.delete(kind, name, self.namespace, grace=0)

    def becomes(self, pods: str, *, denied: str = "", network: str = "red", what: str = "tcp:80") -> None:
        """Wait until every pod reaches every other, except for the denied pairs.

        Args:
            pods: Their names, with spaces between.
            denied: Pairs such as ``stranger>web``, with spaces between.
            network: In this namespace; all of the pods are on it.
            what: See `PodProbes.matrix`.
        """
        names = [self._full(name) for name in pods.split()]
        closed = {tuple(map(self._full, pair.split(">"))) for pair in denied.split()}
        expected = {
            (a, b): ProbeVerdict.DENIED if (a, b) in closed else ProbeVerdict.ALLOWED
            for a in names
            for b in names
            if a != b
        }
        assert closed <= expected.keys(), "a pair that is not asked about"
        until = time.monotonic() + PATIENCE
        while (found := self.bed.probes.matrix(names, f"{self.namespace}/{network}", what)) != expected:
            wrong = {f"{a}>{b}": found[a, b].value for a, b in expected if found[a, b] != expected[a, b]}
            assert time.monotonic() < until, wrong
            time.sleep(0.1)

    @contextmanager
    def untouched(self, *names: str) -> Iterator[None]:
        """Nothing is written into the packet filters of these pods while the block lasts (S61, S62)."""
        before = at_rest(lambda: {name: self.generation(name) for name in names})
        yield
        assert {name: self.generation(name) for name in names} == before

    def generation(self, name: str) -> int:
        """The kernel counts every commit into the pod's packet filter."""
        return self.bed.sandboxes.run(self.name(name), generation)

    def execute(self, name: str, *command: str) -> str:
        """Run a program of this machine in the pod's network namespace."""
        return self.bed.sandboxes.execute(self.name(name), *command)

    def name(self, name: str) -> ObjectName:
        """Of a pod."""
        return ObjectName(*self._full(name).split("/"))

    def _full(self, name: str) -> str:
        return name if "/" in name else f"{self.namespace}/{name}"
