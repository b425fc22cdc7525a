"""Secret and configuration of the webhook, kept by several replicas."""

import base64
import json
from itertools import pairwise

import pytest

from mnp_core.admission.certificates import SERVING_LIFE, Certificates
from mnp_core.admission.keeper import LOOK_SECONDS, Keeper
from mnp_core.kubeapi.connection import connect
from mnp_core.testing.apiserver import Answer
from tests.telemetry.timing import Clock

SECRETS, CONFIGURATIONS = "secrets", "validatingwebhookconfigurations"


@pytest.fixture
def make(server):
    apis = []

    def keeper(clock=None, wall=None):
        apis.append(connect(master=server.url))
        times = {"wall": wall} if wall else {}
        return Keeper(
            apis[-1],
            namespace="kube-system",
            name="mnp-admit",
            hosts=["127.0.0.1"],
            clock=clock or Clock(),
            **times,
        )

    yield keeper
    for api in apis:
        api.close()


def secret(server):
    return Certificates.of_secret(server.store.get(SECRETS, "mnp-admit", "kube-system").get("data", {}))


def bundle(server):
    (webhook,) = server.store.get(CONFIGURATIONS, "mnp-admit")["webhooks"]
    return webhook["clientConfig"].get("caBundle", "")


def test_an_empty_secret_is_filled_and_its_authority_trusted(server, make):
    keeper = make()
    assert not keeper.ready
    with pytest.raises(ConnectionError):
        keeper.context()
    keeper.tend()
    assert keeper.ready
    assert keeper.registered
    assert base64.b64decode(bundle(server)) == secret(server).authorities
    assert keeper.expires == secret(server).expires
    (webhook,) = server.store.get(CONFIGURATIONS, "mnp-admit")["webhooks"]
    assert webhook["clientConfig"]["service"] == {"name": "x"}  # nothing else is touched


def test_looks_are_rare_and_change_nothing_while_nothing_is_due(server, make):
    clock = Clock()
    keeper = make(clock)
    keeper.tend()
    context, requests = keeper.context(), len(server.requests)
    keeper.tend()
    assert len(server.requests) == requests
    clock.sleep(LOOK_SECONDS + 1)
    keeper.tend()
    assert [each.split()[0] for each in server.requests[requests:]] == ["GET", "GET"]
    assert keeper.context() is context


def test_two_replicas_serve_with_one_certificate_whoever_was_first(server, make):
    clocks = [Clock(), Clock()]
    keepers = [make(clock) for clock in clocks]
    for _ in range(3):
        for keeper, clock in zip(keepers, clocks, strict=True):
            keeper.tend()
            clock.sleep(LOOK_SECONDS + 1)
    assert len({keeper.expires for keeper in keepers}) == 1
    assert sum(each.startswith("PATCH") and SECRETS in each for each in server.requests) == 1


def test_a_replica_that_was_slower_takes_what_the_other_wrote(server, make, lines):
    slow_clock = Clock()
    fast, slow = make(), make(slow_clock)
    before = server.store.get(SECRETS, "mnp-admit", "kube-system")
    get = slow._api.get
    slow._api.get = lambda path: json.dumps(before).encode() if SECRETS in path else get(path)
    fast.tend()
    slow.tend()
    assert not slow.ready
    slow._api.get = get
    slow_clock.sleep(4)
    slow.tend()
    assert slow.expires == fast.expires
    assert not [line for line in lines() if line["level"] == "warning"]


def test_renewal_needs_no_restart(make):
    clock, wall = Clock(), Clock()
    wall.sleep(1_800_000_000)
    keeper = make(clock, wall)
    ends = []
    for _ in range(4):
        keeper.tend()
        ends.append((keeper.expires, keeper.context()))
        for each in (clock, wall):
            each.sleep(SERVING_LIFE.total_seconds() * 0.7)
    assert all(one[0] < other[0] and one[1] is not other[1] for one, other in pairwise(ends))


def test_a_configuration_that_somebody_applied_anew_is_registered_again(server, make):
    clock = Clock()
    keeper = make(clock)
    keeper.tend()
    server.put(CONFIGURATIONS, {"metadata": {"name": "mnp-admit"}, "webhooks": [{"name": "a.b.c", "clientConfig": {}}]})
    clock.sleep(LOOK_SECONDS + 1)
    keeper.tend()
    assert base64.b64decode(bundle(server)) == secret(server).authorities


@pytest.mark.parametrize("missing", [SECRETS, CONFIGURATIONS])
def test_missing_objects_are_said_once_and_looked_for_again(server, make, lines, missing):
    kept = server.store.get(missing, "mnp-admit", "kube-system" if missing == SECRETS else "")
    server.delete(missing, "mnp-admit", "kube-system" if missing == SECRETS else "")
    clock = Clock()
    keeper = make(clock)
    for _ in range(5):
        keeper.tend()
        clock.sleep(4)
    (said,) = [line for line in lines() if line["level"] == "warning"]
    assert "not found" in said["error"]
    assert not keeper.registered
    assert not keeper.ready
    server.put(missing, kept)
    keeper.tend()
    assert keeper.registered


def test_a_server_that_is_down_leaves_the_certificate_in_use(server, make):
    clock = Clock()
    keeper = make(clock)
    keeper.tend()
    context = keeper.context()
    server.fail(Answer(path="", status=503, times=10**6))
    clock.sleep(LOOK_SECONDS + 1)
    keeper.tend()
    assert keeper.context() is context
