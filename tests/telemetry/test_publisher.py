"""The node's summary on its way to the API server: seldom, changed or renewed, and with patience."""

import math
from http import HTTPStatus

import pytest
from attrs import frozen

from mnp_core.api import Outcome, Result
from mnp_core.conditions.summary import NodeSummary
from mnp_core.conditions.tokens import written
from mnp_core.errors import ApiError, ApiUnreachableError
from mnp_core.kubeapi.connection import connect
from mnp_core.model import ObjectName
from mnp_core.telemetry.publisher import RENEW_SECONDS, StatusPublisher, SummarySender
from mnp_core.testing.apiserver import Answer, FakeApiServer, ServedResource

PLURAL = "nodepolicysummaries"
RESOURCE = ServedResource("mnp.k8s.cni.cncf.io", "NodePolicySummary", PLURAL, ("v1alpha1",))


@frozen
class View:
    summary: NodeSummary
    settled: bool = True

    def summarize(self):
        return self.summary


def summary(knows=1, **enforced):
    return NodeSummary(knows=knows, enforced={7: enforced.get("interfaces", 1)}, faults={})


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def server():
    with FakeApiServer() as found:
        found.serve(RESOURCE)
        yield found


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def sender(server, clock):
    api = connect(master=server.url)
    yield SummarySender(api, "node-1", clock, lambda: 0.0)
    api.close()


def stored(server):
    return server.store.get(PLURAL, "node-1")


def writes(server):
    return [each for each in server.requests if each.startswith(("PATCH", "POST"))]


def test_it_is_created_once_and_written_only_when_it_changes(server, sender, clock):
    assert sender.send() == math.inf
    assert writes(server) == []
    sender.put(summary())
    assert sender.send() == RENEW_SECONDS
    assert stored(server)["summary"]["enforced"] == [f"{written(7)}=1"]
    assert len(writes(server)) == 2, "a patch that finds nothing, and its creation"
    sender.put(summary())
    clock.now += 100
    assert sender.send() == RENEW_SECONDS - 100
    sender.put(summary(interfaces=2))
    sender.send()
    assert stored(server)["summary"]["enforced"] == [f"{written(7)}=2"]
    assert len(writes(server)) == 3


def test_an_unchanged_one_is_renewed(server, sender, clock):
    sender.put(summary())
    sender.send()
    version = stored(server)["metadata"]["resourceVersion"]
    clock.now += RENEW_SECONDS
    sender.send()
    assert stored(server)["metadata"]["resourceVersion"] != version


def test_one_that_somebody_deleted_is_made_anew(server, sender, clock):
    sender.put(summary())
    sender.send()
    server.delete(PLURAL, "node-1")
    clock.now += RENEW_SECONDS
    sender.send()
    assert stored(server) is not None


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_is_left_alone_for_as_long_as_it_asks(server, sender, clock, status):
    server.fail(Answer(path=PLURAL, status=status, headers={"Retry-After": "7"}))
    sender.put(summary())
    assert sender.send() == 7
    clock.now += 6
    assert sender.send() == 1
    assert stored(server) is None
    clock.now += 1
    sender.send()
    assert stored(server) is not None


def test_a_missing_definition_and_a_missing_right_are_told_once(server, sender, clock, lines):
    server.unserve(PLURAL)
    sender.put(summary())
    for _ in range(3):
        clock.now += sender.send()
    assert [line["msg"] for line in lines() if line["level"] == "warning"] == ["summaries are not served"]
    server.serve(RESOURCE)
    server.forbid(PLURAL, "patch", "create")
    for _ in range(3):
        clock.now += sender.send()
    assert [line["msg"] for line in lines() if line["level"] == "warning"] == ["the summary is forbidden"]
    server.permit(PLURAL)
    clock.now += 4000
    sender.send()
    assert stored(server) is not None


def test_failures_back_off(clock):
    class Broken:
        def patch(self, *_):
            raise ApiUnreachableError("no")

        def post(self, *_):
            raise ApiError(HTTPStatus.CONFLICT, "AlreadyExists", "no")

    sender = SummarySender(Broken(), "node-1", clock, lambda: 0.5)
    sender.put(summary())
    pauses = []
    for _ in range(9):
        pauses.append(sender.send())
        clock.now += pauses[-1]
    assert pauses[:3] == [1, 2, 4]
    assert pauses[-1] == 120


class Node:
    """A publisher whose thread sends nothing: its snapshots are counted."""

    def __init__(self, clock, chance=1.0):
        self.known, self.looks, self.settled = 1, 0, True
        self.publisher = StatusPublisher(
            api=None, node="node-1", fingerprint=lambda: self.known, look=self.look,
            interval=20.0, clock=clock, chance=lambda: chance,
        )  # fmt: skip
        self.publisher._sender.put = self.publisher._sender.send = lambda *_: math.inf

    def look(self):
        self.looks += 1
        return View(summary(self.known), self.settled)

    def beat(self, clock, seconds):
        for _ in range(seconds):
            clock.now += 1
            self.publisher.state(pods=0, policies=0, groups=0, members=0)


def test_a_storm_of_changes_costs_one_snapshot_an_interval(clock):
    node = Node(clock)
    with node.publisher:
        for number in range(200):
            node.known = number
            node.beat(clock, 1)
        assert 9 <= node.looks <= 10
        node.beat(clock, 40)
        looks = node.looks
        node.beat(clock, 100)
        assert node.looks == looks, "nothing has changed"
        node.publisher.outcome(Outcome(pod=ObjectName("demo", "web"), result=Result.APPLIED))
        node.beat(clock, 21)
        assert node.looks == looks + 1


def test_operations_under_way_are_waited_for_but_not_for_long(clock):
    node = Node(clock, chance=0.0)
    node.settled = False
    with node.publisher:
        node.beat(clock, 4)
        assert node.publisher._changed, "not published yet"
        node.beat(clock, 4)
        assert not node.publisher._changed


def test_a_node_that_has_not_read_its_policies_says_nothing(clock):
    node = Node(clock, chance=0.0)
    node.known = None
    with node.publisher:
        node.beat(clock, 100)
        assert node.looks == 0
