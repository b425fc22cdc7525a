"""The Lease: one writer at a time, and a successor when the holder is gone."""

import pytest

from mnp_core.aggregate.lease import DURATION_SECONDS, Lease
from mnp_core.kubeapi.connection import connect
from mnp_core.testing.apiserver import Answer
from tests.aggregate.conftest import warnings


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def lease(server, clock):
    api = connect(master=server.url)
    yield lambda holder: Lease(api, namespace="kube-system", name="mnp", holder=holder, clock=clock, wall=clock)
    api.close()


def stored(server):
    return server.store.get("leases", "mnp", "kube-system")["spec"]


def test_one_of_two_holds_it_and_the_other_takes_over_when_that_is_gone(server, lease, clock):
    one, two = lease("one"), lease("two")
    for _ in range(100):
        assert (one.tend(), two.tend()) == (True, False)
        clock.now += 1
    assert stored(server)["holderIdentity"] == "one"
    lost_at = clock.now
    while not two.tend():
        clock.now += 1
    assert DURATION_SECONDS - 10 <= clock.now - lost_at <= DURATION_SECONDS + 5
    assert not one.held, "it stopped before the other began"
    assert stored(server)["leaseTransitions"] == 1
    assert not one.tend()


def test_a_released_one_is_taken_over_at_once(lease, clock):
    one, two = lease("one"), lease("two")
    assert one.tend()
    assert not two.tend()
    one.release()
    assert not one.held
    clock.now += 4
    assert two.tend()


def test_a_holder_that_cannot_renew_stops_in_time(server, lease, clock):
    one = lease("one")
    assert one.tend()
    server.fail(Answer(path="leases", status=503, times=1000))
    for _ in range(25):
        clock.now += 1
        one.tend()
    assert not one.held
    server.heal()
    clock.now += 5
    assert one.tend()


def test_a_right_that_is_missing_is_told_once(server, lease, clock, lines):
    server.forbid("leases", "create")
    one = lease("one")
    for _ in range(50):
        assert not one.tend()
        clock.now += 1
    assert warnings(lines) == ["the lease cannot be renewed"]


def test_of_two_that_begin_at_once_one_wins(server, lease):
    holders = [lease(f"holder-{number}") for number in range(5)]
    assert sum(each.tend() for each in holders) == 1
    assert len([each for each in server.requests if each.startswith("POST")]) == 1
