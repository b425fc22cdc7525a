"""An API server that can be down, behind or restored, and repeats and delays events, as the protocol allows."""

import copy
import time
from contextlib import contextmanager
from random import Random

from mnp_core.testing.apiserver import Answer, FakeApiServer, Fault, ServedResource, Slow

GROUP = "k8s.cni.cncf.io"
ALWAYS = 10**9


class FaultyApiServer(FakeApiServer):
    """Serves every kind that the program asks for.

    Attributes:
        late: Seconds between two events of a watch; before the next one all earlier ones come again, in any order. For
            one object its last state stays the last.
        lies: How many events were followed by earlier ones.
    """

    def __init__(self):
        super().__init__()
        self.late, self.lies = 0.0, 0
        self._chance = Random(0)  # noqa: S311 - a test
        self.resources["macvlan-networkpolicies"] = ServedResource(
            GROUP, "MacvlanNetworkPolicy", "macvlan-networkpolicies", ("v1",)
        )

    def events(self, plural, version, selector, *, epoch, end):
        told = {}
        for event in super().events(plural, version, selector, epoch=epoch, end=end):
            yield event
            if event[0] == "BOOKMARK":
                continue
            told[event[1]["metadata"]["name"]] = event
            if self.late:
                self.lies += 1
                time.sleep(self.late)
                again = list(told.values())
                self._chance.shuffle(again)
                yield from again

    @contextmanager
    def failing(self, *faults):
        """Let requests fail, and those that are under way break."""
        before = len(self.requests)
        for fault in faults:
            self.fail(fault)
        self.cut()
        try:
            yield
            assert len(self.requests) > before, "nobody asked"
        finally:
            self.heal()

    def down(self):
        return self.failing(Fault(times=ALWAYS))

    def slow(self):
        return self.failing(Slow(times=ALWAYS, size=64, pause=0.01))

    def refusing(self, status, **headers):
        return self.failing(Answer(times=ALWAYS, status=status, headers=headers))

    def snapshot(self):
        """The content of a backup of etcd."""
        with self.store.changed:
            return self.store.version, copy.deepcopy(self.store._objects)

    def restore(self, snapshot):
        """Restore the objects and the counter of a snapshot, without events for later changes. Watches end."""
        with self.store.changed:
            self.store.version, self.store._objects = snapshot[0], copy.deepcopy(snapshot[1])
            self.store._history.clear()
            self.store._snapshots.clear()
        self.cut()
