"""Records the changes and observations of a source."""

import threading
import time
from contextlib import contextmanager

from mnp_core.kubeapi.connection import connect
from mnp_core.sources.kubernetes import KubernetesSource, WatchTiming

PATIENCE = 20  # seconds for work of a fraction of one
QUICK = WatchTiming(
    base_seconds=0.02,
    max_seconds=0.1,
    stable_after_seconds=0.05,
    watch_timeout_seconds=(100, 200),
    rediscover_seconds=(0.05, 0.1),
    absent_after_seconds=0.1,
    removed_after_seconds=0.3,
)


def until(condition, what="that"):
    """Wait for a condition; fail if it does not come."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"{what} did not come"
        time.sleep(0.002)


class Recorder:
    """Records the changes that a source delivers, and its observations."""

    def __init__(self):
        self.lock = threading.Lock()
        self.changes = []
        self.batches = []
        self.there = {}
        self.restarts = []
        self.lists = []
        self.refusals = []

    def deliver(self, changes, received_at):
        with self.lock:
            self.batches.append((len(changes), received_at))
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
        """The objects of a kind, as ``namespace/name``."""
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
def following(server, kinds=(), timing=QUICK, *, stream_timeout=60.0, complete=True):
    """A running source, with its deliveries."""
    recorded = Recorder()
    api = connect(master=server.url, stream_timeout=stream_timeout)
    source = KubernetesSource(api, kinds, recorded.deliver, recorded, timing)
    source.start()
    try:
        if complete:
            until(lambda: source.complete, "the whole state")
        yield source, recorded
    finally:
        source.stop()
        api.close()
        left = [thread.name for thread in threading.enumerate() if thread.name.startswith("watch-")]
        assert not left, "threads are left"


def pod(name, namespace="default", **labels):
    metadata = {"name": name, "namespace": namespace, "labels": labels}
    return {"metadata": metadata, "spec": {"nodeName": "node"}, "status": {}}


def policy(name, namespace="default", **spec):
    metadata = {"name": name, "namespace": namespace, "annotations": {"k8s.v1.cni.cncf.io/policy-for": "net"}}
    return {"metadata": metadata, "spec": {"podSelector": {}, **spec}}
