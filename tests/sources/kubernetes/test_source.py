"""A source against an API server over real HTTP."""

import time

import pytest
from attrs import evolve

from mnp_core.api import PolicyKindSpec
from mnp_core.errors import ApiError, ApiUnreachableError
from mnp_core.kubeapi.connection import connect
from mnp_core.model import ObjectName, ObjectRef
from mnp_core.model.parsing import parse_policy
from mnp_core.sources.kubernetes import KubernetesSource, WatchTiming
from mnp_core.sources.kubernetes.watcher import PAGE_SIZE
from mnp_core.testing.apiserver import Answer, Cut, FakeApiServer, Fault, Garbage, Hang, ServedResource, Slow
from tests.faults.apiserver import FaultyApiServer
from tests.sources.kubernetes.recording import QUICK, Recorder, following, pod, policy, until

POLICIES = "multi-networkpolicies"
CRD = ServedResource("k8s.cni.cncf.io", "MultiNetworkPolicy", POLICIES, ("v1beta1",))


@pytest.fixture
def server():
    with FakeApiServer() as running:
        yield running


def asked(server, text):
    return [request for request in server.requests if text in request]


# --- delivered changes ----------------------------------------------------------------------------------------------


def test_objects_are_listed_and_their_changes_are_watched(server):
    """S61."""
    server.put("namespaces", {"metadata": {"name": "default", "labels": {"team": "a"}}})
    server.put("pods", pod("web", app="web"))
    server.put(POLICIES, policy("deny"))
    with following(server) as (source, recorded):
        assert recorded.names("Pod") == {"default/web"}
        assert recorded.names("Namespace") == {"default"}
        assert recorded.names("MultiNetworkPolicy") == {"default/deny"}
        until(lambda: source.waiting == ())
        server.put("pods", pod("db"))
        server.put("pods", pod("web", app="other"))
        server.delete(POLICIES, "deny", "default")
        until(lambda: not recorded.names("MultiNetworkPolicy"))
        until(lambda: recorded.names("Pod") == {"default/web", "default/db"})
        until(lambda: recorded.there[ObjectRef("Pod", ObjectName("default", "web"))].labels == {"app": "other"})


def test_a_long_list_comes_in_pages_and_each_is_delivered_at_once(server):
    for number in range(2 * PAGE_SIZE + 1):
        server.put("pods", pod(f"p{number}"))
    before = time.monotonic()
    with following(server) as (_, recorded):
        assert len(recorded.names("Pod")) == 2 * PAGE_SIZE + 1
        assert [size for size, _ in recorded.batches] == [PAGE_SIZE, PAGE_SIZE, 1]
        assert all(before <= received_at <= time.monotonic() for _, received_at in recorded.batches)
        assert ("Pod", 2 * PAGE_SIZE + 1) in recorded.lists


def large(name, mebibytes):
    raw = pod(name)
    raw["metadata"]["annotations"] = {"large": "x" * int(mebibytes * 2**20)}
    return raw


def test_pages_that_are_too_large_are_asked_for_in_smaller_ones(server):
    """No answer takes more than 16 MiB of memory."""
    for number in range(20):
        server.put("pods", large(f"p{number:02}", 1.4))
    with following(server) as (_, recorded):
        assert len(recorded.names("Pod")) == 20
        assert max(size for size, _ in recorded.batches) <= 11
        limits = [request.partition("limit=")[2].partition("&")[0] for request in asked(server, "/pods?")]
        assert limits[:4] == ["500", "125", "31", "7"]


def test_an_object_that_is_too_large_holds_up_its_kind_alone_and_is_explained(server):
    """S6: in a list and in a watch; known objects stay known, and all is read once it is smaller."""
    server.put("pods", pod("web"))
    with following(server) as (source, recorded):
        until(lambda: source.waiting == ())
        server.put("pods", large("huge", 17))
        until(lambda: any("larger than 16 MiB" in sentence for sentence in source.waiting))
        server.put("namespaces", {"metadata": {"name": "later"}})
        until(lambda: recorded.names("Namespace") == {"later"})
        assert recorded.names("Pod") == {"default/web"}
        assert any(kind == "Pod" and cause == "oversized" for kind, cause in recorded.restarts)
        server.put("pods", pod("huge"))
        server.compact()
        until(lambda: recorded.names("Pod") == {"default/web", "default/huge"})


def test_finished_pods_are_not_even_sent(server):
    """S5."""
    server.put("pods", {**pod("done"), "status": {"phase": "Succeeded"}})
    server.put("pods", {**pod("runs"), "status": {"phase": "Running"}})
    with following(server) as (_, recorded):
        assert recorded.names("Pod") == {"default/runs"}
        server.put("pods", {**pod("runs"), "status": {"phase": "Failed"}})
        until(lambda: recorded.names("Pod") == set())
        assert recorded.history("Pod") == ["+default/runs", "-default/runs"]


def on_hosts_network(name):
    return {**pod(name), "spec": {"nodeName": "node", "hostNetwork": True}}


def test_pods_on_the_hosts_network_or_without_a_node_are_not_even_sent(server):
    """S5."""
    server.put("pods", pod("web"))
    server.put("pods", on_hosts_network("proxy"))
    server.put("pods", {**pod("new"), "spec": {}})
    with following(server) as (source, recorded):
        until(lambda: source.waiting == ())
        assert recorded.names("Pod") == {"default/web"}
        server.put("pods", on_hosts_network("agent"))
        server.put("pods", pod("new"))
        until(lambda: recorded.names("Pod") == {"default/web", "default/new"})


def test_an_older_server_that_cannot_leave_them_out_is_asked_for_all(server):
    """API servers before 1.28 do not know the field."""
    server.unknown_fields = frozenset({"spec.hostNetwork"})
    server.put("pods", pod("web"))
    server.put("pods", on_hosts_network("proxy"))
    server.put("pods", {**pod("over"), "status": {"phase": "Failed"}})
    with following(server) as (source, recorded):
        until(lambda: source.waiting == ())
        assert recorded.names("Pod") == {"default/web", "default/proxy"}
        assert recorded.restarts == []
        assert len(asked(server, "hostNetwork")) == 1


def test_a_server_that_is_replaced_by_an_older_one_is_asked_for_all(server):
    server.put("pods", pod("web"))
    server.put("pods", on_hosts_network("proxy"))
    with following(server) as (source, recorded):
        until(lambda: source.waiting == ())
        server.unknown_fields = frozenset({"spec.hostNetwork"})
        server.end_watches()
        until(lambda: recorded.names("Pod") == {"default/web", "default/proxy"})


def test_irrelevant_changes_are_not_delivered(server):
    server.put("pods", pod("web"))
    with following(server) as (_, recorded):
        for beat in range(5):
            server.put("pods", {**pod("web"), "status": {"conditions": [{"lastProbeTime": beat}]}})
        server.put("pods", pod("last"))
        until(lambda: "default/last" in recorded.names("Pod"))
        assert recorded.history("Pod") == ["+default/web", "+default/last"]


def test_an_object_that_cannot_be_read_harms_only_itself(server):
    """S6."""
    deep = current = {}
    for _ in range(300):
        current["a"] = current = {}
    server.put("pods", {**pod("odd"), "spec": {"nodeName": "node", "containers": 7}, "status": 7})
    server.put(POLICIES, {**policy("odd"), "spec": "nonsense"})
    server.put(POLICIES, {**policy("deep"), "spec": {"podSelector": deep}})
    server.put("pods", pod("web"))
    server.put(POLICIES, policy("fine"))
    with following(server) as (_, recorded):
        assert recorded.names("Pod") == {"default/odd", "default/web"}
        assert "default/fine" in recorded.names("MultiNetworkPolicy")
        assert {str(change.ref.name) for change in recorded.changes if change.reports} >= {
            "default/odd",
            "default/deep",
        }


def test_events_get_version_and_uid_of_an_object(server):
    made = server.put(POLICIES, policy("deny"))
    with following(server) as (source, _):
        found = source.identity(ObjectRef("MultiNetworkPolicy", ObjectName("default", "deny")))
        assert found is not None
        assert (found.api_version, found.uid) == ("k8s.cni.cncf.io/v1beta1", made["metadata"]["uid"])
        assert source.identity(ObjectRef("MultiNetworkPolicy", ObjectName("default", "other"))) is None
        assert source.identity(ObjectRef("Node", ObjectName("", "n1"))) is None


def test_kinds_of_plugins_are_followed(server):
    macvlan = PolicyKindSpec(
        name="macvlan-networkpolicies",
        group="example.com",
        versions=("v1",),
        kind="MacvlanNetworkPolicy",
        plural="macvlan-networkpolicies",
        parse=lambda raw: parse_policy(raw, kind="MacvlanNetworkPolicy"),
    )
    server.serve(ServedResource("example.com", "MacvlanNetworkPolicy", "macvlan-networkpolicies", ("v1",)))
    server.put("macvlan-networkpolicies", policy("deny"))
    with following(server, (macvlan,)) as (_, recorded):
        assert recorded.names("MacvlanNetworkPolicy") == {"default/deny"}


# --- 410 --------------------------------------------------------------------------------------------------------


def test_410_leads_to_a_list_that_delivers_exactly_the_differences(server):
    """S61: nothing is lost, nothing is invented."""
    for name in ("same", "changed", "deleted", "replaced"):
        server.put("pods", pod(name))
    with following(server) as (source, recorded):
        until(lambda: source.waiting == ())
        before = len(recorded.history("Pod"))
        server.fail(Answer(status=503, times=10_000))
        server.cut()
        until(lambda: len(source.waiting) == 4)
        server.put("pods", pod("changed", app="x"))
        server.delete("pods", "deleted", "default")
        server.delete("pods", "replaced", "default")
        server.put("pods", pod("replaced"))
        server.put("pods", pod("new"))
        server.compact()
        server.heal()
        until(lambda: "default/new" in recorded.names("Pod") and "default/deleted" not in recorded.names("Pod"))
        until(lambda: source.waiting == ())
        news = recorded.history("Pod")[before:]
        assert sorted(news) == ["+default/changed", "+default/new", "+default/replaced", "-default/deleted"]
        assert ("Pod", "gone") in recorded.restarts


def test_410_as_a_status_means_the_same(server):
    with following(server) as (source, recorded):
        until(lambda: source.waiting == ())
        server.fail(Answer(path="/pods", watch=True, status=410))
        server.cut()
        server.put("pods", pod("web"))
        until(lambda: ("Pod", "gone") in recorded.restarts and recorded.names("Pod") == {"default/web"})


def test_an_expired_token_begins_the_list_anew(server):
    for number in range(PAGE_SIZE + 10):
        server.put("pods", pod(f"p{number}"))
    server.fail(Answer(path="continue=", watch=False, status=410, times=2))
    with following(server) as (_, recorded):
        assert len(recorded.names("Pod")) == PAGE_SIZE + 10
        assert len(recorded.history("Pod")) == PAGE_SIZE + 10  # objects of the first try are not delivered again
        assert len(asked(server, "continue=")) == 3


def test_a_watch_goes_on_where_it_was(server):
    server.put("pods", pod("one"))
    with following(server) as (source, recorded):
        until(lambda: source.waiting == ())
        for name in ("two", "three"):
            server.cut()
            server.put("pods", pod(name))
            until(lambda name=name: f"default/{name}" in recorded.names("Pod"))
        assert recorded.history("Pod") == ["+default/one", "+default/two", "+default/three"]
        assert recorded.lists.count(("Pod", 1)) == 1


def test_a_restored_server_is_listed_anew_and_versions_given_out_twice_hide_nothing():
    """S61: etcd from an older snapshot. The position is one that the server has yet to reach, so nothing would come."""
    with FaultyApiServer() as server:
        server.put("pods", pod("web", app="old"))
        server.put("pods", pod("spare"))
        snapshot = server.snapshot()
        with following(server) as (source, recorded):
            until(lambda: source.waiting == ())
            later = server.put("pods", pod("web", app="later"))
            server.put("pods", pod("new"))
            until(lambda: recorded.names("Pod") == {"default/web", "default/spare", "default/new"})
            server.restore(snapshot)
            again = server.put("pods", pod("web", app="again"))
            assert again["metadata"]["resourceVersion"] == later["metadata"]["resourceVersion"]
            web = ObjectRef("Pod", ObjectName("default", "web"))
            until(lambda: recorded.there[web].labels == {"app": "again"})
            assert recorded.names("Pod") == {"default/web", "default/spare"}
            assert recorded.history("Pod").count("+default/spare") == 1


def test_bookmarks_move_the_position_of_a_quiet_kind(server):
    server.bookmark_every = 0.1
    with following(server) as (source, recorded):
        until(lambda: source.waiting == ())
        server.compact()  # watches that are open stay so, as on a real server
        server.put("pods", pod("web"))  # of another kind than those that are looked at
        until(lambda: recorded.names("Pod"))
        time.sleep(0.5)
        lists = len(recorded.lists)
        server.cut()
        until(lambda: len([r for r in asked(server, "namespaces") if "watch" in r]) >= 2)
        until(lambda: source.waiting == ())
        assert len(recorded.lists) == lists


# --- faults -----------------------------------------------------------------------------------------------------

FAULTS = [
    Fault(),
    Cut(after=0),
    Cut(after=40),
    Garbage(body=b"<html>welcome to the hotel</html>"),
    Garbage(body=b"{}"),
    Garbage(body=b'{"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": []}'),
    Garbage(body=b'{"kind": "TableList", "apiVersion": "meta/v1", "metadata": {"resourceVersion": "1"}, "items": []}'),
    Garbage(body=b"[" * 100_000),
    Garbage(body=b"\xff\xfe\n\x00"),
    Garbage(body=b""),
    Answer(status=429, headers={"Retry-After": "0.2"}),
    Answer(status=500),
    Answer(status=503, body=b"upstream connect error"),
    Answer(status=302, headers={"Location": "https://192.0.2.1/"}),
    Answer(status=400),
    Answer(status=404, body=b"<h1>not found</h1>"),
    Answer(status=401),
    Answer(status=403),
    Hang(seconds=0.3),
]


@pytest.mark.parametrize("fault", FAULTS, ids=str)
@pytest.mark.parametrize("watch", [True, False], ids=["watch", "list"])
def test_a_fault_deletes_nothing_and_is_survived(server, fault, watch):
    """S62: the loss of the API server leaves everything as it is."""
    server.put("pods", pod("web"))
    server.put(POLICIES, policy("deny"))
    server.put("network-attachment-definitions", {"metadata": {"name": "net", "namespace": "default"}})
    with following(server, stream_timeout=5.0) as (source, recorded):
        until(lambda: source.waiting == ())
        server.fail(evolve(fault, watch=watch, times=12))
        if not watch:
            server.compact()
            server.put("pods", pod("web", app="x"))
        server.cut()
        server.put("pods", pod("after"))
        server.put(POLICIES, policy("later"))
        until(lambda: recorded.names("Pod") == {"default/web", "default/after"})
        until(lambda: recorded.names("MultiNetworkPolicy") == {"default/deny", "default/later"})
        until(lambda: source.waiting == ())
        assert not [change for change in recorded.changes if change.object is None]


def test_a_watch_that_is_cut_in_a_line_loses_nothing(server):
    with following(server) as (source, recorded):
        until(lambda: source.waiting == ())
        server.fail(Cut(path="/pods", watch=True, after=50))
        server.cut()
        server.put("pods", pod("web"))
        until(lambda: recorded.names("Pod") == {"default/web"})
        assert recorded.history("Pod") == ["+default/web"]


def test_bytes_may_come_one_by_one(server):
    server.put("pods", pod("web"))
    server.fail(Slow(path="/pods", times=2, pause=0.0005))
    with following(server) as (_, recorded):
        server.put("pods", pod("next"))
        until(lambda: recorded.names("Pod") == {"default/web", "default/next"})


def test_a_server_that_ends_watches_at_once_is_not_asked_without_pause(server):
    with following(server, timing=WatchTiming(base_seconds=0.2, max_seconds=0.4, stable_after_seconds=1.0)) as (
        source,
        _,
    ):
        until(lambda: source.waiting == ())
        server.fail(Garbage(path="/pods", watch=True, body=b"", times=10_000))
        server.cut()
        before = len(asked(server, "/pods"))
        time.sleep(2)
        assert 2 <= len(asked(server, "/pods")) - before <= 40
        until(lambda: any(sentence.startswith("Pod: ") for sentence in source.waiting))


def test_retry_after_is_honoured(server):
    server.fail(Answer(path="/pods", status=429, headers={"Retry-After": "1"}))
    started = time.monotonic()
    with following(server):
        assert time.monotonic() - started >= 1
        until(lambda: len(asked(server, "/pods")) == 3, "a refusal, a list and a watch")


def test_a_connection_on_which_nothing_comes_is_given_up(server):
    with following(server, stream_timeout=0.5) as (source, recorded):
        until(lambda: source.waiting == ())
        server.fail(Hang(path="/pods", watch=True, head=True, seconds=30, times=2))
        server.end_watches()
        until(lambda: ("Pod", "stalled") in recorded.restarts)
        server.put("pods", pod("web"))
        until(lambda: recorded.names("Pod") == {"default/web"})


def test_a_kind_in_which_nothing_happens_is_no_fault(server):
    """Real servers send no bookmarks then."""
    with following(server, timing=evolve(QUICK, idle_watch_timeout_seconds=(1.0, 1.0)), stream_timeout=2.0) as (
        source,
        recorded,
    ):
        until(lambda: len([request for request in server.requests if request.endswith("timeoutSeconds=1")]) >= 8)
        assert recorded.restarts == []
        assert source.waiting == ()
        server.put("pods", pod("web"))
        until(lambda: recorded.names("Pod") == {"default/web"})


@pytest.mark.parametrize("head", [True, False], ids=["in the body", "before the head"])
def test_stop_does_not_wait_for_the_server(server, head):
    with following(server) as (source, recorded):
        until(lambda: source.waiting == ())
        server.fail(Hang(seconds=30, head=head, times=100))
        server.cut()
        requests = len(server.requests)
        until(lambda: len(server.requests) >= requests + 4)
        server.put("pods", pod("web"))
        started = time.monotonic()
        source.stop()
        assert time.monotonic() - started < 1
        assert recorded.names("Pod") == set()


def test_changes_that_the_receiver_fails_at_are_delivered_again(server, caplog):
    recorded, failures = Recorder(), [OSError("no memory"), OSError("still none")]

    def deliver(changes, received_at):
        if failures and changes[0].ref.kind == "Pod":
            raise failures.pop()
        recorded.deliver(changes, received_at)

    server.put("pods", pod("web"))
    api = connect(master=server.url)
    source = KubernetesSource(api, (), deliver, recorded, QUICK)
    source.start()
    try:
        until(lambda: recorded.names("Pod") == {"default/web"})
    finally:
        source.stop()
        api.close()
    assert "no memory" in caplog.text


def test_an_observer_that_raises_ends_no_watch(server, caplog):
    class Raises(Recorder):
        def watch_restarted(self, kind, cause):
            raise RuntimeError(f"{kind} {cause}")

    recorded = Raises()
    api = connect(master=server.url)
    source = KubernetesSource(api, (), recorded.deliver, recorded, QUICK)
    source.start()
    try:
        until(lambda: source.complete and source.waiting == ())
        server.fail(Answer(status=503, times=8))
        server.cut()
        server.put("pods", pod("web"))
        until(lambda: recorded.names("Pod") == {"default/web"})
    finally:
        source.stop()
        api.close()
    assert "RuntimeError" in caplog.text


# --- served kinds -----------------------------------------------------------------------------------------------


def test_a_crd_that_is_missing_is_waited_for_without_holding_up_the_rest(server):
    server.unserve(POLICIES)
    with following(server) as (source, recorded):
        until(lambda: len(source.waiting) == 1)  # the other kinds are watched
        [sentence] = source.waiting
        assert "MultiNetworkPolicy" in sentence
        assert "CustomResourceDefinition" in sentence
        server.serve(CRD)
        server.put(POLICIES, policy("deny"))
        until(lambda: recorded.names("MultiNetworkPolicy") == {"default/deny"})
        until(lambda: source.waiting == ())


@pytest.mark.parametrize("served", [("v1beta1",), ("v1beta2",), ("v1beta1", "v1beta2")], ids="+".join)
def test_whichever_version_is_served_is_read(server, served):
    """S1."""
    server.serve(ServedResource(CRD.group, CRD.kind, POLICIES, served))
    server.put(POLICIES, policy("deny"))
    with following(server) as (source, recorded):
        assert recorded.names("MultiNetworkPolicy") == {"default/deny"}
        found = source.identity(ObjectRef("MultiNetworkPolicy", ObjectName("default", "deny")))
        assert found is not None
        assert found.api_version == f"{CRD.group}/{served[-1]}"


def test_another_version_is_found_when_the_first_goes_and_changes_nothing(server):
    server.put(POLICIES, policy("deny"))
    with following(server) as (source, recorded):
        ref = ObjectRef("MultiNetworkPolicy", ObjectName("default", "deny"))
        server.serve(ServedResource(CRD.group, CRD.kind, POLICIES, ("v1beta2",)))
        until(lambda: source.identity(ref).api_version.endswith("v1beta2"))
        server.put(POLICIES, policy("later"))
        until(lambda: "default/later" in recorded.names("MultiNetworkPolicy"))
        assert recorded.history("MultiNetworkPolicy") == ["+default/deny", "+default/later"]


def test_a_crd_that_is_deleted_takes_its_objects_along(server):
    server.put(POLICIES, policy("deny"))
    with following(server) as (source, recorded):
        until(lambda: source.waiting == ())
        server.resources.pop(POLICIES)  # without a word of its objects
        server.end_watches()
        until(lambda: recorded.names("MultiNetworkPolicy") == set())
        assert recorded.history("MultiNetworkPolicy") == ["+default/deny", "-default/deny"]
        assert source.complete


def test_a_server_that_is_not_ready_is_not_believed_that_a_kind_is_missing(server):
    """S62: policies are not in its lists yet, and isolated pods must not be opened for that."""
    server.put(POLICIES, policy("deny"))
    with following(server) as (source, recorded):
        until(lambda: source.waiting == ())
        server.ready = False
        crd = server.resources.pop(POLICIES)
        server.cut()
        until(lambda: any("500" in sentence for sentence in source.waiting))
        time.sleep(3 * QUICK.removed_after_seconds)
        assert recorded.names("MultiNetworkPolicy") == {"default/deny"}
        server.serve(crd)
        server.ready = True
        until(lambda: source.waiting == ())
        assert recorded.history("MultiNetworkPolicy") == ["+default/deny"]


def test_a_kind_that_is_missing_for_a_moment_is_not_gone(server):
    """S62."""
    server.put(POLICIES, policy("deny"))
    with following(server, timing=WatchTiming(base_seconds=0.02, max_seconds=0.1, removed_after_seconds=3.0)) as (
        source,
        recorded,
    ):
        until(lambda: source.waiting == ())
        crd = server.resources.pop(POLICIES)
        server.cut()
        until(lambda: any("is not served" in sentence for sentence in source.waiting))
        server.serve(crd)
        until(lambda: source.waiting == ())
        assert recorded.history("MultiNetworkPolicy") == ["+default/deny"]


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500, 503])
def test_discovery_that_fails_never_means_that_there_are_no_policies(server, status):
    """S62."""
    server.put(POLICIES, policy("deny"))
    server.fail(Answer(path="/apis", watch=False, status=status, times=10_000))
    with following(server, complete=False) as (source, recorded):
        until(lambda: recorded.names("Pod") == set() and ("Pod", 0) in recorded.lists)
        time.sleep(5 * QUICK.absent_after_seconds)
        assert not source.complete
        assert any(str(status) in each or "discovery" in each or "who this" in each for each in source.waiting)
        server.heal()
        until(lambda: source.complete and recorded.names("MultiNetworkPolicy") == {"default/deny"})


PATIENT = evolve(QUICK, absent_after_seconds=30.0)


def test_a_kind_that_is_not_defined_is_not_waited_for(server):
    """S62: nothing is enforced until all kinds are read; most clusters lack the kinds of some plugins."""
    server.unserve(POLICIES)
    with following(server, timing=PATIENT) as (source, _):
        assert source.complete
        assert any("is not served" in sentence for sentence in source.waiting)


@pytest.mark.parametrize("obstacle", ["it is defined", "no right to ask", "no API of definitions"])
def test_a_kind_that_may_be_defined_is_waited_for(server, obstacle):
    """S62: a server that has just started lists no custom resources for a moment, though it is ready."""
    if obstacle == "it is defined":
        server.serve(ServedResource(CRD.group, CRD.kind, POLICIES, ()))
    else:
        server.unserve(POLICIES)
    if obstacle == "no right to ask":
        server.forbid("customresourcedefinitions", "get")
    if obstacle == "no API of definitions":
        server.fail(Answer(path="/customresourcedefinitions", status=404, body=b"404 page not found", times=10_000))
    with following(server, complete=False, timing=PATIENT) as (source, recorded):
        until(lambda: any("is not served" in sentence for sentence in source.waiting))
        time.sleep(0.3)
        assert not source.complete
        server.heal()
        server.serve(ServedResource(CRD.group, CRD.kind, POLICIES, CRD.versions))
        server.put(POLICIES, policy("deny"))
        until(lambda: source.complete and recorded.names("MultiNetworkPolicy") == {"default/deny"})


# --- permissions ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["list", "watch"])
def test_a_missing_permission_is_reported_with_the_rule_that_gives_it(server, verb):
    server.put(POLICIES, policy("deny"))
    server.forbid(POLICIES, verb)
    with following(server, complete=False) as (source, recorded):
        until(lambda: recorded.refusals)
        kind, sentence = recorded.refusals[0]
        assert kind == "MultiNetworkPolicy"
        assert f"may not {verb} multi-networkpolicies in API group k8s.cni.cncf.io" in sentence
        rule = 'apiGroups: ["k8s.cni.cncf.io"], resources: ["multi-networkpolicies"], verbs: ["get", "list", "watch"]'
        assert rule in sentence
        assert f"MultiNetworkPolicy: {sentence}" in source.waiting
        server.permit(POLICIES)
        until(lambda: source.complete and source.waiting == ())
        assert recorded.names("MultiNetworkPolicy") == {"default/deny"}


# --- pauses ---------------------------------------------------------------------------------------------------------


class Refused:
    """An API server that cannot be reached, then answers every request with 410."""

    def __init__(self, unreachable):
        self.unreachable = unreachable

    def stream(self, _path, _params=None):
        self.unreachable -= 1
        raise ApiUnreachableError("refused") if self.unreachable >= 0 else ApiError(410, "Expired", "gone")


def test_a_server_that_is_back_is_asked_again_at_once_and_then_ever_more_rarely(monkeypatch):
    """S61: after an outage all watches expire (410), and none may wait for the pauses of the outage."""
    pauses = []
    source = KubernetesSource(Refused(12), (), None, Recorder(), WatchTiming(base_seconds=1.0, max_seconds=1e6))
    watcher = source._watchers.get("Pod")
    watcher._served, watcher._position = "v1", "1"
    monkeypatch.setattr(watcher, "_pause", lambda _why, seconds: pauses.append(seconds))
    for _ in range(12 + 8):
        watcher._turn()
        watcher._position = "1"
    assert max(pauses[8:12]) > 1
    assert pauses[12] <= 1
    assert max(pauses[16:]) > 1
