"""Connections that lost their place in a backend's own table: read a pod at a time, counted for the node."""

from collections import Counter
from concurrent.futures import Future
from types import SimpleNamespace

import pytest

from mnp_core.api import Sandbox
from mnp_core.errors import ApplyError
from mnp_core.model import ObjectName
from mnp_core.node.evictions import Evictions


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
        self.counted = Counter()
        self.evictions = Evictions(self, Pool(), lambda kind, number: self.counted.update({kind: number}))

    def tend(self, times):
        for _ in range(times):
            self.evictions.tend()


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
