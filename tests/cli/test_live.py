"""`--cluster`: the objects of an API server instead of files."""

import json

import pytest

from mnp_core.testing.apiserver import FakeApiServer
from mnp_core.testing.apiserver.faults import Answer, Garbage
from tests.cli.objects import DATA, network, pod, policy

NAMESPACE = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "demo", "labels": {}}}


def running(name, address, namespace="demo", **metadata):
    """A pod with the network-status that Multus writes."""
    status = [{"name": f"{namespace}/data", "interface": "net1", "ips": [address], "mac": "02:00:00:00:00:01"}]
    return pod(name, namespace, networks="data", status=status, **metadata)


@pytest.fixture
def server():
    with FakeApiServer() as api:
        api.put("namespaces", NAMESPACE)
        api.put("network-attachment-definitions", network())
        api.put("pods", running("a", "10.10.0.2"))
        api.put("pods", running("b", "10.10.0.3"))
        api.put("multi-networkpolicies", policy())
        yield api


@pytest.fixture
def kubeconfig(server, tmp_path, monkeypatch):
    """A kubeconfig with a context `here` of namespace demo, another `plain` without, and none that is current."""
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    contexts = [
        {"name": "here", "context": {"cluster": "fake", "user": "me", "namespace": "demo"}},
        {"name": "plain", "context": {"cluster": "fake", "user": "me"}},
    ]
    path = tmp_path / "kubeconfig"
    path.write_text(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "fake", "cluster": {"server": server.url}}],
                "users": [{"name": "me", "user": {"token": "secret"}}],
                "contexts": contexts,
                "current-context": "plain",
            }
        )
    )
    return path


@pytest.fixture
def live(mnp, kubeconfig):
    """`live("explain", ...)`: a command about the cluster."""
    return lambda command, *arguments: mnp(command, "--cluster", "--kubeconfig", kubeconfig, *arguments)


def test_a_pod_is_explained_as_in_manifests(live, ask):
    found = live("explain", "--from", "demo/b", "--to", "demo/a", "--port", "tcp:80", "--output", "json")
    objects = [NAMESPACE, network(), running("a", "10.10.0.2"), running("b", "10.10.0.3"), policy()]
    of_files = ask("explain", objects, "--from", "demo/b", "--to", "demo/a", "--port", "tcp:80")
    assert found.status == 0, found.err
    assert json.loads(found.out) == of_files
    assert of_files["explanations"][0]["verdict"] == "denied"


def test_the_matrix_is_of_the_cluster(live):
    found = live("matrix", "--output", "list")
    assert found.status == 0, found.err
    assert found.out.splitlines() == [
        "allowed  demo/a -> demo/b on demo/data: tcp:80",
        "denied   demo/b -> demo/a on demo/data: tcp:80",
    ]


def test_manifests_count_as_if_they_were_applied(live, write):
    """One of the same name takes the place of that in the cluster."""
    changed = policy(ingress=[{"from": [{"podSelector": {"matchLabels": {"app": "b"}}}]}])
    path = write("new.json", json.dumps(changed))
    found = live("matrix", path, "--output", "list")
    assert found.status == 0, found.err
    assert "allowed  demo/b -> demo/a on demo/data: tcp:80" in found.out.splitlines()
    assert "last counts" not in found.err


def test_diff_of_one_path_is_what_applying_it_changes(live, write):
    opened = write("open.json", json.dumps(policy(ingress=[{}])))
    found = live("diff", opened, "--probe", "tcp:80", "--fail-on", "opened")
    assert found.status == 1, found.err
    assert "opened  demo/b -> demo/a on demo/data: tcp:80" in found.out
    same = write("same.json", json.dumps(policy()))
    assert live("diff", same).out == "No pair opens or closes.\n"


def test_diff_of_two_paths_is_between_two_applications(live, write):
    old, new = write("old.json", json.dumps(policy(ingress=[{}]))), write("new.json", json.dumps(policy()))
    found = live("diff", old, new, "--probe", "tcp:80", "--output", "json")
    assert "0 pairs open, 2 pairs close." in json.loads(found.out)["summary"]  # from b, and from outside


def test_names_are_in_the_namespace_of_the_context(live, write):
    unnamed = policy(ingress=[{}])
    del unnamed["metadata"]["namespace"]
    path = write("unnamed.json", json.dumps(unnamed))
    found = live("explain", path, "--context", "here", "--from", "b", "--to", "a", "--output", "json")
    assert found.status == 0, found.err
    assert json.loads(found.out)["explanations"][0]["verdict"] == "allowed"
    other = live("explain", "--context", "plain", "--from", "b", "--to", "a")
    assert (other.status, "there is no pod default/b" in other.err) == (2, True)


def test_namespace_option_counts_before_the_context(live):
    found = live("explain", "--context", "plain", "--namespace", "demo", "--from", "b", "--to", "a")
    assert found.status == 0, found.err


def test_validate_judges_the_cluster(live, server):
    server.put("multi-networkpolicies", policy("astray", policy_for="nowhere"))
    found = live("validate", "--output", "json")
    assert found.status == 1
    assert {report["name"] for report in json.loads(found.out)["reports"]} == {"demo/astray"}


def test_a_cluster_is_complete_and_its_objects_are_in_no_file(live, server, write):
    """Of manifests alone nothing is said of namespaces that others fill."""
    peer = {"namespaceSelector": {"matchLabels": {"team": "nobody"}}}
    server.put("multi-networkpolicies", policy("p", ingress=[{"from": [peer]}]))
    (found,) = json.loads(live("validate", "--output", "json").out)["reports"]
    assert (found["reason"], found["name"], found["file"], found["line"]) == ("PeerMatchesNobody", "demo/p", None, None)
    text = live("validate").out.splitlines()[0]
    assert text == "MultiNetworkPolicy demo/p: spec.ingress[0].from[0]"
    log = json.loads(live("validate", "--output", "sarif").out)
    assert "physicalLocation" not in log["runs"][0]["results"][0]["locations"][0]
    path = write("p.json", json.dumps(policy("p", ingress=[{"from": [peer]}])))
    (placed,) = json.loads(live("validate", path, "--output", "json").out)["reports"]
    assert placed["file"] == str(path)


def test_rules_are_rendered_from_the_cluster(live):
    found = live("render", "--pod", "demo/a", "--backend", "nftables")
    assert found.status == 0, found.err
    assert "# pod demo/a, nftables" in found.out


def test_environment_and_home_name_the_kubeconfig(mnp, kubeconfig, monkeypatch, tmp_path):
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    assert mnp("matrix", "--cluster").status == 0
    monkeypatch.delenv("KUBECONFIG")
    home = tmp_path / "home" / ".kube"
    home.mkdir(parents=True)
    kubeconfig.rename(home / "config")
    assert mnp("matrix", "--cluster").status == 0


def test_finished_pods_and_pages_are_the_servers_business(live, server):
    """1,200 pods come in three pages."""
    for number in range(1200):
        server.put("pods", pod(f"p{number}"))
    assert live("validate").status == 0
    pages = [request for request in server.requests if request.startswith("GET /api/v1/pods?")]
    assert len(pages) == 3
    assert all("fieldSelector=status.phase%21%3DSucceeded" in page and "limit=500" in page for page in pages)


# --- what goes wrong ---------------------------------------------------------------------------------------------


def test_all_missing_permissions_are_named_at_once(live, server):
    server.forbid("pods", "list")
    server.forbid("multi-networkpolicies", "list")
    found = live("matrix")
    assert found.status == 2
    assert "you may not list pods, multi-networkpolicies.k8s.cni.cncf.io in all namespaces" in found.err
    assert 'apiGroups: [""], resources: ["pods"], verbs: ["list"]' in found.err
    assert 'apiGroups: ["k8s.cni.cncf.io"], resources: ["multi-networkpolicies"], verbs: ["list"]' in found.err


def test_unknown_users_are_told_to_log_in(live, server):
    server.tokens = frozenset({"another"})
    found = live("matrix")
    assert (found.status, "log in again" in found.err) == (2, True)


def test_a_cluster_without_the_definition_has_no_policies(live, server):
    server.unserve("multi-networkpolicies")
    found = live("matrix", "--output", "list")
    assert found.status == 0, found.err
    assert "allowed  demo/b -> demo/a" in found.out
    assert "Note: the cluster has no resource multi-networkpolicies." in found.err


def test_a_busy_server_is_asked_again(live, server):
    server.fail(Answer(path="/pods", status=429, headers={"Retry-After": "0.01"}, times=2))
    assert live("matrix").status == 0


def test_a_list_that_expires_half_way_begins_anew(live, server):
    for number in range(600):
        server.put("pods", pod(f"p{number}"))
    server.fail(Answer(path="continue=", status=410, times=1))
    assert live("matrix").status == 0
    assert sum("/api/v1/pods?" in request for request in server.requests) == 4


@pytest.mark.parametrize("body", [b"<html>log in</html>", b'{"kind":"PodList"}', b"\x1b[2Jgone"])
def test_garbage_is_no_empty_cluster(live, server, body):
    server.fail(Garbage(path="/pods", body=body))
    found = live("matrix")
    assert (found.status, found.out) == (2, "")
    assert "makes no sense" in found.err
    assert "\x1b" not in found.err


def test_messages_of_the_server_cannot_steer_the_terminal(live, server):
    server.fail(Answer(path="/pods", status=400, body=b'{"message": "no\\u001b[2J\\u009b!"}'))
    found = live("matrix")
    assert found.status == 2
    assert "\x1b" not in found.err
    assert "\x9b" not in found.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--context", "nowhere"], "nowhere"),
        (["--context", ""], "need a value"),
        (["--kubeconfig", "/nowhere/at/all"], "/nowhere/at/all"),
    ],
)
def test_wrong_ways_to_a_cluster_are_named(live, arguments, message):
    found = live("matrix", *arguments)
    assert (found.status, found.out) == (2, "")
    assert message in found.err
    assert "Traceback" not in found.err


def test_a_server_that_is_gone_is_named(live, server, kubeconfig):
    kubeconfig.write_text(kubeconfig.read_text().replace(server.url, "http://127.0.0.1:1"))
    found = live("matrix")
    assert (found.status, "http://127.0.0.1:1 does not answer" in found.err) == (2, True)


def test_without_manifests_and_cluster_there_is_nothing_to_judge(mnp):
    for command in (("matrix",), ("validate",), ("explain", "--from", "a", "--to", "b")):
        found = mnp(*command)
        assert (found.status, "or ask a cluster with --cluster" in found.err) == (2, True)
    assert mnp("matrix", "--context", "here").status == 2


def test_diff_says_how_many_paths_it_wants(mnp, live, write):
    path = write("one.json", json.dumps(policy()))
    assert "name OLD and NEW, or NEW alone with --cluster" in mnp("diff", path).err
    assert "name NEW alone, or OLD and NEW" in live("diff").err
    assert live("diff", path, path, path).status == 2


def test_annotations_that_are_read_are_those_of_pods_alone(live, server):
    """A pod's other annotations, which may be secret or huge, are not even decoded."""
    server.put("pods", running("c", "10.10.0.4", annotations={f"{DATA}networks": "data", "huge": "x" * 100_000}))
    assert "x" * 100 not in live("validate", "--output", "json").out
