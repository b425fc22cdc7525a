"""What a source tells, taken down."""

import threading
import time
from contextlib import contextmanager

from mnp_core.kubeapi.connection import connect
from mnp_core.sources.kubernetes import KubernetesSource, Pace

PATIENCE = 20  # seconds for what should take a fraction of one
QUICK = Pace(
    base=0.02, cap=0.1, settled=0.05, watch_for=(100, 200), look_again=(0.05, 0.1), believed_after=0.1,
    given_up_after=0.3,
)  # fmt: skip


def until(condition, what="that"):
    """Wait for a condition; fail if it does not come."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"{what} did not come"
        time.sleep(0.002)


class Told:
    """Takes down what a source delivers, and what it says to its observer."""

    def __init__(self):
        self.lock = threading.Lock()
        self.changes = []
        self.batches = []
        self.there = {}
        self.restarts = []
        self.lists = []
        self.refusals = []

    def deliver(self, changes, heard):
        with self.lock:
            self.batches.append((len(changes), heard))
            for change in changes:
                self.changes.append(change)
                if change.object is None:
                    self.there.pop(change.ref, None)
                else:
                    self.there[change.ref] = change.object

    def watch_restarted(self, kind, cause):
        self.restarts.append((kind, cause))

    def listed(self, kind, count):
        self.lists.append((kind, count))

    def refused(self, kind, sentence):
        self.refusals.append((kind, sentence))

    def names(self, kind):
        """What is there of a kind, as ``namespace/name``."""
        with self.lock:
            return {str(ref.name) for ref in self.there if ref.kind == kind}

    def history(self, kind):
        """Every change of a kind: ``+name`` for there, ``-name`` for gone."""
        with self.lock:
            return [
                f"{'-' if change.object is None else '+'}{change.ref.name}"
                for change in self.changes
                if change.ref.kind == kind
            ]


@contextmanager
def following(server, kinds=(), pace=QUICK, *, stream_timeout=60.0, complete=True):
    """A source that is running, with what it tells."""
    told = Told()
    api = connect(master=server.url, stream_timeout=stream_timeout)
    source = KubernetesSource(api, kinds, told.deliver, told, pace)
    source.start()
    try:
        if complete:
            until(lambda: source.complete, "the whole state")
        yield source, told
    finally:
        source.stop()
        api.close()
        left = [thread.name for thread in threading.enumerate() if thread.name.startswith("watch-")]
        assert not left, "threads are left"


def pod(name, namespace="default", **labels):
    return {"metadata": {"name": name, "namespace": namespace, "labels": labels}, "spec": {}, "status": {}}


def policy(name, namespace="default", **spec):
    metadata = {"name": name, "namespace": namespace, "annotations": {"k8s.v1.cni.cncf.io/policy-for": "net"}}
    return {"metadata": metadata, "spec": {"podSelector": {}, **spec}}
