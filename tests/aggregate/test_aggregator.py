"""The aggregator against an API server over HTTP, on a clock of its own."""

import json

import pytest

from mnp_core.aggregate.aggregator import COUNTS_SECONDS, LOST_SECONDS, SILENT_SECONDS, Aggregator
from mnp_core.aggregate.writer import StatusWriter, Written
from mnp_core.kubeapi.connection import connect
from mnp_core.model import ObjectName
from mnp_core.sources.kubernetes.mirror import Mirror
from mnp_core.testing.apiserver import Answer
from tests.aggregate.conftest import POLICIES, SUMMARIES, WITH_STATUS, WITHOUT_STATUS, warnings

STATUS = f"{POLICIES}/web/status"


class World:
    """The aggregator, fed by mirrors as a watcher feeds them."""

    def __init__(self, server):
        self.server, self.now = server, 1000.0
        self.api = connect(master=server.url)
        self.writer = StatusWriter(self.api, rate=100.0, clock=lambda: self.now, chance=lambda: 0.0)
        self.aggregator = Aggregator(self.writer, settle_seconds=60.0, clock=lambda: self.now, wall=lambda: self.now)
        takes = {POLICIES: self.aggregator.put_policy, SUMMARIES: self.aggregator.put_summary}
        self.mirrors = {plural: Mirror(plural, take) for plural, take in takes.items()}

    def step(self, seconds=1.0, *, leading=True):
        for plural, mirror in self.mirrors.items():
            entries = [mirror.read(json.dumps(each).encode(), "v1") for each in self.server.store.objects(plural)]
            mirror.remove(mirror.missing_from({entry.name for entry in entries}))
            mirror.commit(entries)
        self.now += seconds
        self.aggregator.step(complete=True, leading=leading)


@pytest.fixture
def world(server):
    found = World(server)
    yield found
    found.api.close()


def test_conditions_counts_and_problems_stand_in_the_status(scene, world):
    scene.policy("web", generation=3, ingress=[{"from": [{"ipBlock": {"cidr": "nonsense"}}]}])
    scene.policy("db")
    for number in range(37):
        scene.summary(f"node-{number}", {"web": 2} if number < 36 else {}, ["web"] if number == 36 else [])
    world.step()
    found = scene.status("web")
    assert (found["nodes"], found["interfaces"], found["observedGeneration"]) == ("36/37", 73, 3)
    accepted, enforced = found["conditions"]
    assert (accepted["status"], accepted["reason"]) == ("False", "InvalidBlock")
    assert enforced["message"] == "enforced 36 of 37 nodes: 1 failed"
    assert found["failures"] == [{"node": "node-36", "reason": "Refused", "message": "demo/web: no"}]
    assert found["problems"][0]["field"] == "spec.ingress[0].from[0].ipBlock.cidr"
    assert scene.condition("db") == ("True", "NothingSelected")
    assert scene.condition("db", "Accepted") == ("True", "Valid")


def test_nothing_is_written_twice_and_counts_alone_wait(scene, world):
    scene.policy("web")
    scene.summary("node-1", {"web": 1})
    for _ in range(20):
        world.step()
    assert len(scene.writes()) == 1
    for number in range(20):
        scene.summary("node-1", {"web": 2 + number})
        world.step()
    assert len(scene.writes()) == 1
    world.step(COUNTS_SECONDS)
    assert len(scene.writes()) == 2
    assert scene.status("web")["interfaces"] == 21


def test_a_change_is_enforced_when_every_node_has_confirmed_it(scene, world):
    scene.policy("web")
    for number in range(50):
        scene.summary(f"node-{number}", {"web": 1})
    world.step()
    assert scene.condition("web") == ("True", "Enforced")
    since = scene.status("web")["conditions"][1]["lastTransitionTime"]
    scene.policy("web", generation=2, policyTypes=["Egress"])
    world.step()
    assert scene.condition("web") == ("False", "Pending")
    for number in range(50):
        scene.summary(f"node-{number}", {"web": 1} if number else {})
        world.step()
    world.step(2)
    assert scene.condition("web") == ("True", "Enforced")
    assert scene.status("web")["nodes"] == "49/49"
    assert scene.status("web")["conditions"][1]["lastTransitionTime"] > since
    assert len(scene.writes()) <= 2 + 2 + 50 / 10, "progress at intervals"


def test_a_restarted_aggregator_writes_nothing_that_is_there_already(server, scene, world):
    scene.policy("web")
    scene.summary("node-1", {"web": 1})
    scene.summary("node-2", {}, knows=17)  # between two states
    world.step()
    assert scene.writes() == []
    world.step(60)
    assert scene.condition("web") == ("False", "Pending")
    scene.summary("node-2")
    world.step()
    writes = len(scene.writes())
    scene.summary("node-2", {}, knows=17)
    again = World(server)
    for _ in range(10):
        again.step()
    assert len(scene.writes()) == writes, "the node is waited for"
    scene.summary("node-2")
    again.step()
    again.api.close()
    assert len(scene.writes()) == writes


def test_a_lost_node_ages_out_and_its_summary_is_deleted(server, scene, world):
    scene.policy("web")
    scene.summary("node-1", {"web": 1})
    scene.summary("node-2", {"web": 1})
    world.step()
    world.now += SILENT_SECONDS - 10
    scene.summary("node-1", {"web": 1})
    world.step(20)
    assert scene.condition("web") == ("Unknown", "NodesSilent")
    for _ in range(4):
        world.now += LOST_SECONDS / 4
        scene.summary("node-1", {"web": 1})
        world.step()
    assert scene.condition("web") == ("True", "Enforced")
    assert scene.status("web")["nodes"] == "1/1"
    assert [each["metadata"]["name"] for each in server.store.objects(SUMMARIES)] == ["node-1"]


def test_a_conflict_is_tried_again_with_the_newer_policy(scene, world):
    scene.policy("web")
    scene.summary("node-1", {"web": 1})
    world.step(leading=False)
    scene.policy("web", generation=2)
    world.now += 1
    world.aggregator.step(complete=True, leading=True)
    assert world.aggregator.results == {Written.CONFLICT: 1}
    world.step(2)
    assert scene.status("web")["observedGeneration"] == 2


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_is_left_alone_for_as_long_as_it_asks(server, scene, world, status):
    scene.policy("web")
    scene.summary("node-1", {"web": 1})
    server.fail(Answer(path=STATUS, status=status, headers={"Retry-After": "30"}))
    world.step()
    for _ in range(20):
        world.step()
    assert len(scene.writes()) == 1
    world.step(15)
    assert scene.condition("web") == ("True", "Enforced")


def test_a_missing_right_is_told_once_and_pauses(server, scene, world, lines):
    scene.policy("web")
    scene.summary("node-1", {"web": 1})
    server.forbid(POLICIES, "patch")
    world.step()
    for _ in range(50):
        world.step()
    assert len(scene.writes()) == 1
    assert warnings(lines) == ["the status is forbidden"]
    server.permit(POLICIES)
    world.step(300)
    assert scene.condition("web") == ("True", "Enforced")


def test_a_definition_without_status_is_told_once_and_written_as_soon_as_it_has_one(server, scene, world, lines):
    server.serve(WITHOUT_STATUS)
    scene.policy("web")
    scene.summary("node-1", {"web": 1})
    for _ in range(200):
        world.step()
    assert scene.writes() == []
    assert warnings(lines) == ["the definition of MultiNetworkPolicy has no status"]
    server.serve(WITH_STATUS)
    world.step(60)
    assert scene.condition("web") == ("True", "Enforced")


def test_a_policy_that_is_deleted_meanwhile_is_forgotten(server, scene, world):
    scene.policy("web")
    scene.summary("node-1", {"web": 1})
    world.step(leading=False)
    server.delete(POLICIES, "web", "demo")
    world.now += 1
    world.aggregator.step(complete=True, leading=True)
    assert world.aggregator.results == {Written.GONE: 1}
    world.step()
    assert (world.aggregator.policies, world.aggregator.waiting) == (0, 0)


def test_objects_that_are_none_harm_no_other(server, scene, world):
    scene.policy("web")
    scene.summary("node-1", {"web": 1})
    server.put(SUMMARIES, {"metadata": {"name": "node-2"}, "summary": "me"})
    server.put(SUMMARIES, {"metadata": {"name": "node-3"}})
    server.put(POLICIES, {"metadata": {"namespace": "demo", "name": "odd", "generation": "x"}, "spec": []})
    world.aggregator.put_policy(ObjectName("demo", "worse"), b"[[[[")
    world.aggregator.put_summary(ObjectName("", "node-4"), b"[" * 100_000)
    scene.summary("node-1", {"web": 1})
    world.step()
    world.step(60)
    assert scene.condition("odd", "Accepted") == ("False", "Malformed")
    assert scene.status("web")["nodes"] == "1/1"


def test_a_node_that_lies_counts_as_one_node(scene, world):
    scene.policy("web")
    scene.policy("db")
    scene.summary("node-1", {"web": 1})
    scene.summary("liar", {"web": 5, "db": 999_999})
    world.step()
    assert scene.status("web")["nodes"] == "2/2"
    assert scene.status("db")["nodes"] == "1/1"
    assert scene.status("db")["interfaces"] == 100_000, "no node has more"


def test_an_audited_policy_is_not_enforced(server, scene, world):
    scene.policy("web")
    found = server.store.get(POLICIES, "web", "demo")
    found["metadata"]["annotations"]["mnp.k8s.cni.cncf.io/enforcement"] = "audit"
    server.put(POLICIES, found)
    scene.summary("node-1", {"web": 1})
    world.step()
    assert scene.condition("web") == ("False", "Audited")
    assert scene.status("web")["conditions"][1]["message"] == "audited 1 of 1 nodes"
