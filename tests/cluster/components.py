"""The processes of the cluster, stopped and started one by one, for tests of outages."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from scripts.testbed import bed, place
from scripts.testbed.command import run
from scripts.testbed.links import add_parent
from scripts.testbed.node import prefix


class Components:
    """Names are those of `scripts.testbed.bed.COMPONENTS`: etcd, kube-apiserver, containerd, kubelet ..."""

    names = tuple(bed.COMPONENTS)

    def stop(self, name: str, *, kill: bool = False) -> None:
        """End a component; containers run on."""
        command("stop", name, *(("--kill",) if kill else ()))

    def start(self, name: str) -> None:
        """Start a component, and wait until it serves."""
        command("start", name)

    @contextmanager
    def stopped(self, name: str, *, kill: bool = False) -> Iterator[None]:
        """Stop a component for the length of a block."""
        self.stop(name, kill=kill)
        try:
            yield
        finally:
            self.start(name)

    def compact(self) -> int:
        """Make etcd forget the past: lists at an older resourceVersion get 410. Returns etcd's revision."""
        return bed.compact()

    def expire(self) -> None:
        """Make watches that resume from before get 410.

        An API server answers watches from its own memory, so etcd's forgetting is not enough: it has to start anew.
        """
        with self.stopped("kube-apiserver"):
            self.compact()

    def add_parent(self, name: str) -> None:
        """Make a link, as a `master` of macvlan networks, that goes with the bed."""
        add_parent(name)

    @property
    def host_prefix(self) -> str:
        """Where the node's files are for a process outside of it: the agent's ``--host-prefix``."""
        return str(prefix())


def command(*words: str, patience: float = 300) -> None:
    """Run a command of the test bed in a process of its own: this one must not become the parent of daemons."""
    run(sys.executable, "-m", "scripts.testbed", *words, cwd=place.CHECKOUT, patience=patience)
