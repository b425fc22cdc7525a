"""`kubectl mnp` as a program: its commands, and that they are about the cluster."""

import json
import subprocess
import sys

import pytest

from mnp_core.cli.fleet.app import make_app
from mnp_core.testing.apiserver import FakeApiServer
from tests.cli.objects import network, pod, policy

ASK = (
    "import sys; from mnp_core.cli.fleet.app import main\ntry: main(['--help'])\nexcept SystemExit: print(*sys.modules)"
)


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """KUBECONFIG of a cluster in which nobody but b may talk to a."""
    with FakeApiServer() as server:
        server.put("network-attachment-definitions", network())
        for name, address in (("a", "10.10.0.2"), ("b", "10.10.0.3"), ("c", "10.10.0.4")):
            status = [{"name": "demo/data", "interface": "net1", "ips": [address]}]
            server.put("pods", pod(name, networks="data", status=status))
        server.put(
            "multi-networkpolicies", policy(ingress=[{"from": [{"podSelector": {"matchLabels": {"app": "b"}}}]}])
        )
        contexts = [{"name": "fake", "context": {"cluster": "fake", "user": "me", "namespace": "demo"}}]
        clusters = [{"name": "fake", "cluster": {"server": server.url}}]
        config = {
            "clusters": clusters,
            "contexts": contexts,
            "current-context": "fake",
            "users": [{"name": "me", "user": {}}],
        }
        (tmp_path / "config").write_text(json.dumps({"apiVersion": "v1", "kind": "Config", **config}))
        monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
        yield server


def test_objects_are_those_of_the_cluster(cluster, kubectl_mnp):
    found = kubectl_mnp("explain", "--from", "demo/c", "--to", "demo/a", "--port", "tcp:80")
    assert (found.status, found.err) == (0, "")
    assert "denied" in found.out
    listed = kubectl_mnp("matrix", "--to", "a", "--output", "list")
    assert listed.out.splitlines() == [
        "allowed  demo/b -> demo/a on demo/data: tcp:80",
        "denied   demo/c -> demo/a on demo/data: tcp:80",
    ]
    assert kubectl_mnp("validate").status == 0
    assert len(cluster.requests) > 3


def test_diff_is_about_applying(cluster, kubectl_mnp, tmp_path):
    path = tmp_path / "open.json"
    path.write_text(json.dumps(policy(ingress=[{}])))
    found = kubectl_mnp("diff", path, "--probe", "tcp:80")
    assert "opened  demo/c -> demo/a on demo/data: tcp:80" in found.out
    cluster.forbid("pods", "list")
    assert kubectl_mnp("diff", path).status == 2


def test_help_imports_no_command():
    done = subprocess.run([sys.executable, "-c", ASK], capture_output=True, text=True, check=True)
    modules = set(done.stdout.splitlines()[-1].split())
    assert "Usage: kubectl mnp [OPTIONS] COMMAND" in done.stdout
    assert not modules & {"yaml", "kubernetes", "rich", "mnp_core.cli.objects", "mnp_core.cli.source"}


def test_listed_help_is_that_of_the_commands(registry):
    app = make_app(registry)
    for name, promise in app.commands.promises.items():
        command = app.commands[name]
        assert (command.name, command.get_short_help_str(100)) == (name, promise.short_help)


def test_usage_names_the_program_as_people_call_it(kubectl_mnp):
    found = kubectl_mnp("nothing")
    assert found.status == 2
    assert "kubectl mnp --help" in found.err
