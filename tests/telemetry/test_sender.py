"""Events about objects at fault, sent to a small API server over HTTP, with the test's clock."""

import json
import math

import pytest
from attrs import evolve, frozen

from mnp_core.api import Failure, Outcome, Result
from mnp_core.model import ObjectName, ObjectRef, Reason, Report
from mnp_core.telemetry.events.event import PendingEvent
from mnp_core.telemetry.events.queue import EventQueue
from mnp_core.telemetry.events.sender import EventSender
from tests.telemetry.apiserver import EventServer, HttpApi
from tests.telemetry.timing import Clock

WEB = ObjectName("demo", "web")
DENY = ObjectRef("MultiNetworkPolicy", ObjectName("demo", "deny"))
MALFORMED = Report(
    about=DENY,
    field="spec.ingress[0].from[1].ipBlock.cidr",
    reason=Reason.INVALID_BLOCK,
    message="'10.0.0.0/33' is not a CIDR: the peer matches nobody",
    remedy="Write it as in 10.0.0.0/24",
)
MENDED = Outcome(pod=WEB, result=Result.APPLIED, drifted=True)
FAILED = Outcome(pod=WEB, result=Result.FAILED, error="the kernel says no", failure=Failure.REFUSED)
A_WHILE, HOUR = 10, 3600


@frozen
class Identity:
    api_version: str
    uid: str


class Node:
    """The sender of one node, and its counts."""

    def __init__(self, server, clock, name="node-1"):
        self.standing = ()
        self.clock, self.counts, self.known = clock, [], {"": Identity("k8s.cni.cncf.io/v1beta1", "u-1")}
        self.sender = EventSender(
            api=HttpApi(server.port),
            identify=lambda ref: self.known.get(ref.name.name, self.known.get("")),
            node=name,
            counted=self.counts.append,
            clock=clock,
            wall=lambda: clock.now,
        )

    def stands(self, *reports):
        before, self.standing = self.standing, reports
        appeared = [report for report in reports if report not in before]
        self.sender.set_standing(appeared, [report for report in before if report not in reports])

    def happens(self, *outcomes):
        for outcome in outcomes:
            self.sender.record(outcome)

    def pass_time(self, seconds):
        """Do all that is to be done in that time, each at its time."""
        end = self.clock.now + seconds
        while (pause := self.sender.send_next()) <= end - self.clock.now:
            self.clock.sleep(pause)
        self.clock.now = end


@pytest.fixture(scope="module")
def one_server():
    server = EventServer()
    yield server
    server.close()


@pytest.fixture
def server(one_server):
    one_server.events.clear()
    one_server.requests.clear()
    one_server.refusals.clear()
    return one_server


@pytest.fixture
def node(server, clock):
    return Node(server, clock)


def named(report, name):
    return evolve(report, about=ObjectRef(report.about.kind, ObjectName("demo", name)))


def test_a_report_is_an_event_on_the_object_at_fault(node, server):
    node.stands(MALFORMED)
    node.pass_time(A_WHILE)
    event = server.one()
    assert event["involvedObject"] == {
        "apiVersion": "k8s.cni.cncf.io/v1beta1",
        "kind": "MultiNetworkPolicy",
        "namespace": "demo",
        "name": "deny",
        "uid": "u-1",
    }
    assert (event["type"], event["reason"], event["count"]) == ("Warning", "InvalidBlock", 1)
    assert event["message"] == (
        "spec.ingress[0].from[1].ipBlock.cidr: '10.0.0.0/33' is not a CIDR: the peer matches nobody. "
        "Write it as in 10.0.0.0/24."
    )
    assert event["source"] == {"component": "multi-network-policy-node"}
    assert event["reportingInstance"] == "node-1"
    assert event["firstTimestamp"] == event["lastTimestamp"] == "1970-01-01T00:16:43Z"


def test_a_momentary_problem_gives_no_event(node, server):
    node.stands(MALFORMED)
    node.pass_time(2)
    node.stands()
    node.pass_time(HOUR)
    assert server.requests == []


def test_a_standing_problem_gives_one_event_however_often_it_is_reported(node, server):
    for _ in range(100):
        node.stands(MALFORMED)
        node.pass_time(A_WHILE)
    assert server.requests == [("POST", 201)]


def test_a_lasting_problem_repeats_the_same_event(node, server):
    node.stands(MALFORMED)
    node.pass_time(HOUR - 1)
    event = server.one()
    assert server.requests == [("POST", 201), ("PATCH", 200)]
    assert event["count"] == 2
    assert event["firstTimestamp"] < event["lastTimestamp"]


def test_a_recurring_problem_repeats_the_same_event(node, server):
    node.stands(MALFORMED)
    node.pass_time(A_WHILE)
    node.stands()
    node.pass_time(HOUR / 2)
    node.stands(MALFORMED)
    node.pass_time(A_WHILE)
    assert server.one()["count"] == 2
    assert server.statuses == [201, 200]


def test_an_event_that_the_server_has_forgotten_is_made_anew(node, server):
    node.stands(MALFORMED)
    node.pass_time(A_WHILE)
    server.events.clear()
    node.pass_time(HOUR / 2)
    assert server.statuses == [201, 404, 201]
    assert server.one()["count"] == 1


def test_a_thousand_nodes_make_one_event(server, clock):
    nodes = [Node(server, clock, f"node-{number}") for number in range(1000)]
    for each in nodes:
        each.stands(MALFORMED)
    clock.sleep(A_WHILE)
    for each in nodes:
        each.pass_time(0)
    assert len(server.events) == 1
    assert sorted(set(server.statuses)) == [201, 409]
    assert [each.counts for each in nodes] == [["created"]] + [["known"]] * 999
    clock.sleep(HOUR / 2)
    for each in nodes:
        each.pass_time(0)
    assert len(server.requests) == 1001  # its creator alone renews it
    assert server.one()["count"] == 2


def test_nodes_do_not_look_all_at_once(server):
    waits = set()
    for number in range(100):
        each = Node(server, Clock(), f"node-{number}")
        each.stands(MALFORMED)
        waits.add(each.sender.send_next())
    assert len(waits) == 100
    assert min(waits) >= 3
    assert max(waits) <= 6


def test_an_event_whose_maker_is_gone_is_taken_over(server, clock):
    maker, other = Node(server, clock, "node-1"), Node(server, clock, "node-2")
    maker.stands(MALFORMED)
    maker.pass_time(A_WHILE)
    other.stands(MALFORMED)
    other.pass_time(A_WHILE)
    server.events.clear()
    other.pass_time(2 * HOUR)
    assert server.one()["reportingInstance"] == "node-2"


def test_an_object_that_was_made_anew_has_an_event_of_its_own(node, server):
    node.stands(MALFORMED)
    node.pass_time(A_WHILE)
    node.stands()
    node.known[""] = Identity("k8s.cni.cncf.io/v1beta1", "u-2")
    node.stands(MALFORMED)
    node.pass_time(100)
    assert [event["involvedObject"]["uid"] for event in server.all()] == ["u-1", "u-2"]


def test_reports_of_one_object_are_events_of_their_own(node, server):
    node.stands(MALFORMED, evolve(MALFORMED, field="spec.egress"), evolve(MALFORMED, reason=Reason.MALFORMED))
    node.pass_time(A_WHILE)
    assert len(server.events) == 3


def test_an_unknown_object_gets_its_event_once_it_is_known(node, server):
    node.known.clear()
    node.stands(MALFORMED)
    node.pass_time(A_WHILE)
    assert server.requests == []
    node.known[""] = Identity("v1", "u-1")
    node.pass_time(120)
    assert server.statuses == [201]


def test_an_object_without_a_namespace_has_its_event_in_default(node, server):
    node.stands(evolve(MALFORMED, about=ObjectRef("Namespace", ObjectName("", "demo"))))
    node.pass_time(A_WHILE)
    assert [namespace for namespace, _ in server.events] == ["default"]
    assert "namespace" not in server.one()["involvedObject"]


def test_drift_gives_an_event_on_the_pod_at_once(node, server):  # S63
    node.happens(MENDED)
    node.pass_time(0)
    event = server.one()
    assert (event["involvedObject"]["kind"], event["involvedObject"]["name"]) == ("Pod", "web")
    assert (event["reason"], event["count"]) == ("DriftMended", 1)


def test_repeated_drift_is_one_event(node, server):
    for _ in range(100):
        node.happens(MENDED)
        node.pass_time(1)
    assert server.statuses == [201, 200]
    node.pass_time(HOUR)
    assert server.one()["count"] == 100
    assert server.statuses == [201, 200, 200]


def test_a_lasting_failure_is_one_event_under_any_message(node, server):
    for words in ("the kernel says no", "the kernel says no, 2"):
        node.stands(evolve(MALFORMED, reason=Reason.ENFORCEMENT_FAILED, message=words))
        node.pass_time(HOUR)
    assert len(server.events) == 1
    assert server.one()["reason"] == "EnforcementFailed"


def test_an_outage_is_waited_for_and_nothing_is_lost(node, server):
    server.refuse(503, times=10)
    node.stands(MALFORMED)
    node.happens(MENDED)
    node.pass_time(HOUR / 4)
    assert server.statuses == [503] * 10 + [201, 201]
    assert node.counts.count("failed") == 10


def test_tries_grow_rare_during_an_outage(node, server):
    server.refuse(500, times=10_000)
    node.stands(MALFORMED)
    node.pass_time(HOUR)
    assert 50 < len(server.requests) < 150


def test_a_server_that_cannot_be_reached_is_an_outage(clock):
    closed = EventServer()
    closed.close()
    node = Node(closed, clock)
    node.stands(MALFORMED)
    node.pass_time(60)
    assert set(node.counts) == {"failed"}
    assert len(node.counts) < 10


def test_a_server_that_asks_for_time_is_given_it(node, server):
    server.refuse(429, retry_after=300)
    node.stands(MALFORMED)
    node.pass_time(300)
    assert server.statuses == [429]
    node.pass_time(A_WHILE)
    assert server.statuses == [429, 201]


def test_a_server_that_asks_for_years_is_not_believed(node, server):
    server.refuse(429, retry_after=10**9)
    node.stands(MALFORMED)
    node.pass_time(HOUR / 2)
    assert server.statuses == [429, 201]


def test_without_the_right_there_is_one_try_an_hour_and_one_line(node, server, lines):
    words = 'events is forbidden: User "mnp" cannot create resource "events" in API group "" in the namespace "demo"'
    server.refuse(403, words, times=2)
    node.stands(*(named(MALFORMED, f"policy-{number}") for number in range(50)))
    node.pass_time(HOUR - 1)
    assert server.statuses == [403]
    assert [line["msg"] for line in lines()] == ["events are forbidden"]
    node.pass_time(HOUR + 200)
    assert server.statuses[:3] == [403, 403, 201]
    assert len(server.events) == 50


def test_a_namespace_in_deletion_silences_no_other(node, server):
    words = "unable to create new content in namespace demo because it is being terminated"
    server.refuse(403, f'events "x" is forbidden: {words}')
    node.stands(*(named(MALFORMED, f"policy-{number}") for number in range(3)))
    node.pass_time(A_WHILE)
    assert server.statuses == [403, 201, 201]


def test_an_event_that_is_refused_is_not_tried_again_soon(node, server):
    server.refuse(422)
    node.stands(MALFORMED)
    node.happens(MENDED)
    node.pass_time(HOUR / 2)
    assert sorted(server.statuses) == [201, 422]


def test_a_burst_is_spread_over_time(node, server):
    node.stands(*(named(MALFORMED, f"policy-{number}") for number in range(1000)))
    node.pass_time(A_WHILE)
    assert 20 < len(server.requests) < 80
    node.pass_time(300)
    assert len(server.events) == 1000


def test_one_object_with_a_thousand_faults_does_not_fill_the_cluster(node, server):
    node.stands(*(evolve(MALFORMED, field=f"spec.ingress[{number}]") for number in range(1000)))
    node.stands(*(evolve(MALFORMED, field=f"spec.ingress[{number}]") for number in range(1000)), named(MALFORMED, "o"))
    node.pass_time(300)
    assert 25 < len(server.events) < 35
    assert any(event["involvedObject"]["name"] == "o" for event in server.all())


def test_more_than_can_be_kept_in_mind_is_dropped_and_counted(node, server):
    node.stands(*(named(MALFORMED, f"policy-{number}") for number in range(3000)))
    assert node.counts == ["dropped"] * 1000
    node.happens(MENDED)
    assert node.counts == ["dropped"] * 1001
    assert len(server.requests) == 0


def test_vanished_objects_make_room():
    queue = EventQueue(stable_seconds=0, capacity=2)
    before = []
    for number in range(5):
        reports = [named(MALFORMED, f"{number}-{each}") for each in range(2)]
        queue.set_standing(reports, before, 0)
        assert queue.left_out() == []
        before = reports
        while entry := queue.next(now=0):
            queue.sent(entry, 0, event_name="sent", count=1)
        assert len(queue) == 2
    assert not queue.record(PendingEvent.of_drift(MENDED, "run"), now=0)


def elsewhere(report, name, namespace):
    return evolve(report, about=ObjectRef(report.about.kind, ObjectName(namespace, name)))


def test_a_flood_of_one_namespace_leaves_places_and_turns_to_others(node, server):
    node.stands(*(named(MALFORMED, f"junk-{number}") for number in range(3000)))
    open_pod = evolve(MALFORMED, about=ObjectRef("Pod", ObjectName("quiet", "web")), reason=Reason.UNENFORCEABLE)
    node.stands(*node.standing, elsewhere(MALFORMED, "typo", "quiet"), open_pod)
    node.pass_time(A_WHILE)
    told = [(event["involvedObject"]["namespace"], event["reason"]) for event in server.all()]
    assert told[0] == ("quiet", "Unenforceable")
    assert ("quiet", "InvalidBlock") in told[1:4]
    assert len(told) > 20, "the others go on"


def test_dropped_events_are_sent_when_there_is_room(node, server):
    junk = [named(MALFORMED, f"junk-{number}") for number in range(2000)]
    late = named(MALFORMED, "late")
    node.stands(*junk)
    node.stands(*junk, late)
    assert node.counts == ["dropped"]
    node.stands(late)
    node.pass_time(A_WHILE)
    assert server.one()["involvedObject"]["name"] == "late"


def test_messages_are_cut_and_hold_no_terminal_sequences(node, server):
    node.stands(evolve(MALFORMED, message="\x1b[31m\nevil \u202e" + "ö" * 2000))
    node.pass_time(A_WHILE)
    message = server.one()["message"]
    assert 1000 < len(message.encode()) <= 1024
    assert message.isprintable()
    assert message.endswith("ö…")


def test_longest_names_that_kubernetes_allows_make_names_of_events(node, server):
    node.stands(named(MALFORMED, "a" * 235 + "." + "b" * 17), named(MALFORMED, "a" * 63 + "." + "b" * 189))
    node.pass_time(A_WHILE)
    assert server.statuses == [201, 201]
    assert max(len(name) for _, name in server.events) <= 253


def test_a_lookup_that_breaks_concerns_one_object(node, server, lines):
    node.known["broken"] = Identity("v1", None)
    node.stands(named(MALFORMED, "broken"), MALFORMED)
    node.pass_time(A_WHILE)
    assert server.one()["involvedObject"]["name"] == "deny"
    assert [line["msg"] for line in lines()] == ["event not created"]


def test_nothing_to_do_means_no_waking_up(node):
    assert node.sender.send_next() == math.inf


def test_events_can_be_written_as_json(node, server):
    node.stands(evolve(MALFORMED, message="\udcff"))
    node.pass_time(A_WHILE)
    assert json.dumps(server.one())


def test_a_flood_of_open_interfaces_does_not_silence_others():
    """S64: a tenant can make any number of pods that cannot be enforced."""
    queue = EventQueue(stable_seconds=0)
    about = [ObjectRef("Pod", ObjectName("noisy", f"pod-{number}")) for number in range(100)]
    queue.set_standing([evolve(MALFORMED, about=each, reason=Reason.UNENFORCEABLE) for each in about], (), 0)
    queue.set_standing([elsewhere(MALFORMED, "typo", "quiet")], (), 0)
    sent = []
    for second in range(1, 9):
        entry = queue.next(second)
        queue.sent(entry, second, event_name="e", count=1)
        sent.append(entry.event.namespace)
    assert sent.count("quiet") == 1
    assert sent.index("quiet") < 4
