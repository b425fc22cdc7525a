"""What backends count in pods, read a pod at a time and counted for the node."""

from collections import Counter
from concurrent.futures import Future
from types import SimpleNamespace

import pytest
from structlog.testing import capture_logs

from mnp_core.api import Sandbox
from mnp_core.errors import ApplyError
from mnp_core.model import Attachment, LinkPath, ObjectName, RuleCounter
from mnp_core.node.pod_counts import PodCounts


class Applier:
    def __init__(self):
        self.established = 0
        self.read = 0

    def evictions(self):
        self.read += 1
        if self.established is None:
            raise ApplyError("the table cannot be read")
        return {"established": self.established, "nascent": 7}


class Pool:
    """Works at once."""

    def submit(self, _sandbox, work):
        done = Future()
        try:
            done.set_result(work())
        except ApplyError as error:
            done.set_exception(error)
        return done


class Node:
    def __init__(self, *appliers):
        self.pods = [
            SimpleNamespace(
                name=ObjectName("a", f"pod-{number}"),
                sandbox=Sandbox(path=f"/{number}", device=1, inode=number),
                backend=SimpleNamespace(applier=applier),
            )
            for number, applier in enumerate(appliers)
        ]
        self.cluster = SimpleNamespace(claims=lambda _: self.claims)
        self.claims = ()
        self.counted = Counter()
        self.counts = PodCounts(self, Pool(), lambda kind, number: self.counted.update({kind: number}))

    def tend(self, times):
        for _ in range(times):
            self.counts.tend()


def test_losses_since_the_first_reading_are_counted_once():
    applier = Applier()
    node = Node(applier)
    applier.established = 3
    node.tend(2)
    assert node.counted == {}, "those of an earlier process count again"
    applier.established = 5
    node.tend(3)
    assert node.counted == {"established": 2}


def test_pods_are_read_in_turn_and_others_have_no_table():
    one, two = Applier(), Applier()
    node = Node(one, object(), two)
    node.tend(4)
    assert (one.read, two.read) == (2, 2)


def test_a_table_that_cannot_be_read_or_was_emptied_counts_nothing():
    applier = Applier()
    node = Node(applier)
    applier.established = 9
    node.tend(2)
    for established in (None, 0):
        applier.established = established
        node.tend(2)
    assert node.counted == {}


def test_a_sandbox_that_was_made_anew_begins_anew():
    applier = Applier()
    node = Node(applier)
    node.tend(2)
    node.pods[0].sandbox = Sandbox(path="/other", device=1, inode=99)
    applier.established = 4
    node.tend(2)
    assert node.counted == {}


@pytest.mark.parametrize("pods", [[], [object()]])
def test_without_such_a_backend_nothing_is_done(pods):
    node = Node(*pods)
    node.tend(2)
    assert node.counted == {}


class Bridge:
    """An applier without connections of its own."""

    def __init__(self):
        self.frames = 0

    def counters(self):
        for label, packets in (("denied-vlan", self.frames), ("denied", 99), ("denied-vlan", 1)):
            yield RuleCounter(interface="net1", direction="Egress", label=label, packets=packets, bytes=0)


def test_tagged_frames_of_guests_are_counted_and_told():
    """S64: what no policy can mean is denied, and never silently."""
    applier = Bridge()
    node = Node(applier)
    node.claims = (
        Attachment(pod=ObjectName("a", "p"), network=ObjectName("a", "n"), interface="net1", path=LinkPath.BRIDGED),
    )
    node.tend(2)
    applier.frames = 5
    with capture_logs() as lines:
        node.tend(2)
    assert node.counted == {"denied-vlan": 5}
    assert [(line["pod"], line["count"]) for line in lines] == [("a/pod-0", 5)]


def test_pods_without_bridged_interfaces_are_not_asked_for_frames():
    node = Node(Bridge())
    node.tend(3)
    assert node.counted == {}
