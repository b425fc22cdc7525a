"""Handles of a cluster and of the test bed, for tests."""

from functools import cached_property
from pathlib import Path

from scripts.testbed import place
from tests.cluster.components import Components
from tests.cluster.fleet import Fleet
from tests.cluster.objects import Objects
from tests.cluster.probes import PodProbes
from tests.cluster.sandboxes import Sandboxes


class Cluster:
    """Any cluster, through its API server alone."""

    def __init__(self, kubeconfig: Path) -> None:
        self.kubeconfig = kubeconfig
        self.objects = Objects(kubeconfig)
        self.fleet = Fleet(self.objects)


class Bed(Cluster):
    """The cluster of this machine: its node's pods can be looked into, its processes stopped."""

    node = place.NODE
    parent = place.PARENT

    def __init__(self, kubeconfig: Path, *, was_up: bool) -> None:
        super().__init__(kubeconfig)
        self.was_up = was_up  # before the tests began

    @cached_property
    def sandboxes(self) -> Sandboxes:
        """Pods' network namespaces."""
        return Sandboxes(self.objects)

    @cached_property
    def probes(self) -> PodProbes:
        """Packets between pods."""
        return PodProbes(self.objects, self.sandboxes)

    @cached_property
    def components(self) -> Components:
        """The processes."""
        return Components()
