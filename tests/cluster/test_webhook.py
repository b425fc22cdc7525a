"""The webhook before a real API server: with the rights of its component, a certificate of its own, and without it."""

import json
import signal
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from scripts.testbed.programs import find_present
from tests.admission.conftest import namespace, network, pod, policy
from tests.cluster.apiserver import api_server, free_ports
from tests.cluster.test_policy_admission import without_rules

ROOT = Path(__file__).parents[2]
COMPONENT = ROOT / "deploy/kustomize/components/webhook"
MNP = Path(sys.executable).with_name("mnp")
POLICIES = "/apis/k8s.cni.cncf.io/v1beta1/namespaces/demo/multi-networkpolicies"
NETWORKS = "/apis/k8s.cni.cncf.io/v1/namespaces/demo/network-attachment-definitions"
ACCOUNTS = "/api/v1/namespaces/kube-system/serviceaccounts"
SECRET = "/api/v1/namespaces/kube-system/secrets/mnp-admit"  # noqa: S105 - a path
CONFIGURATION = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/mnp-admit"
GOOD = {"ingress": [{"from": [{"podSelector": {}}]}]}
SOON = 60

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("webhook")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("webhook")


@pytest.fixture(scope="module")
def api(folder):
    with api_server(folder) as api:
        api.request("POST", "/api/v1/namespaces", namespace())
        api.create(without_rules())
        api.create(yaml.safe_load((ROOT / "tests/cluster/data/networkattachmentdefinitions.yml").read_text()))
        until(lambda: api.request("GET", POLICIES)[0] == 200)
        until(lambda: api.request("POST", NETWORKS, network())[0] == 201)
        created, answer = api.request("POST", "/api/v1/namespaces/demo/pods", scheduled(pod()))
        assert created == 201, answer
        yield api


def scheduled(wanted):
    """A pod that no scheduler waits for, as the kubelet leaves it."""
    containers = [{"name": "main", "image": "none", **each} for each in wanted["spec"]["containers"]]
    return {**wanted, "spec": {"nodeName": "none", "containers": containers}}


@pytest.fixture(scope="module")
def ports():
    return free_ports(2)


def create_component(api, ports):
    """The component, with an address in place of the Service that nothing here would route."""
    for name in yaml.safe_load((COMPONENT / "kustomization.yaml").read_text())["resources"]:
        for wanted in yaml.safe_load_all((COMPONENT / name).read_text()):
            match wanted["kind"]:
                case "ValidatingWebhookConfiguration":
                    url = f"https://127.0.0.1:{ports[0]}/validate"
                    wanted["webhooks"][0]["clientConfig"] = {"url": url}
                    folder = CONFIGURATION.rpartition("/")[0]
                case "Secret":
                    folder = SECRET.rpartition("/")[0]
                case "ServiceAccount":
                    folder = ACCOUNTS
                case "ClusterRole" | "ClusterRoleBinding" | "Role" | "RoleBinding":
                    api.create(wanted)
                    continue
                case _:
                    continue
            status, answer = api.request("POST", folder, wanted)
            assert status == 201, answer


@pytest.fixture(scope="module")
def webhook(api, ports, folder):
    create_component(api, ports)
    with running(api, folder, ports[0], ports[1]) as process:
        yield process


@contextmanager
def running(api, folder, port, health):
    """`mnp admit` with the rights of its ServiceAccount alone."""
    token = api.request("POST", f"{ACCOUNTS}/mnp-admit/token", {"spec": {}})[1]["status"]["token"]
    config = json.loads(api.kubeconfig(folder).read_text())
    config["users"][0]["user"] = {"token": token}
    kubeconfig, log = folder / "webhook.kubeconfig", folder / f"webhook-{port}.log"
    kubeconfig.write_text(json.dumps(config))
    command = [MNP, "admit", "--kubeconfig", kubeconfig, "--listen", f"127.0.0.1:{port}", "--host", "127.0.0.1"]
    with log.open("a") as stream:
        process = subprocess.Popen([*command, "--health", f"127.0.0.1:{health}"], stderr=stream)
    try:
        until(lambda: page(health, "/readyz") == "ok\n", log)
        yield process
    finally:
        process.terminate()
        process.wait(SOON)


def page(port, path):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.read().decode()
    except OSError:
        return ""


def until(true, log=None):
    end = time.monotonic() + SOON
    while not true():
        assert time.monotonic() < end, log.read_text() if log else ""
        time.sleep(0.1)


def kubectl(api, folder, *arguments, wanted=None):
    program = find_present("kubectl")
    if program is None:
        pytest.skip("kubectl is neither in KUBEBUILDER_ASSETS nor built by the test bed")
    command = [program, "--kubeconfig", api.kubeconfig(folder), *arguments]
    sent = None if wanted is None else json.dumps(wanted)
    return subprocess.run(command, input=sent, capture_output=True, text=True, check=False, timeout=SOON)


def apply(api, folder, wanted):
    return kubectl(api, folder, "apply", "--filename", "-", wanted=wanted)


def test_policies_are_accepted_refused_and_warned_of_as_kubectl_shows(api, folder):
    ended = apply(api, folder, policy(name="good", **GOOD))
    assert (ended.returncode, ended.stderr) == (0, "")
    ended = apply(api, folder, policy("red,blue", name="typo", **GOOD))
    assert ended.returncode == 1
    assert "policy-for]: there is no network demo/blue. Name an existing NetworkAttachment" in ended.stderr
    assert api.request("GET", f"{POLICIES}/typo")[0] == 404
    ended = apply(api, folder, policy(name="ports", ingress=[{"ports": [{"port": "metrics"}]}]))
    assert ended.returncode == 0
    assert "Warning: spec.ingress[0].ports: no pod concerned has a TCP port named 'metrics'" in ended.stderr
    assert api.request("GET", f"{POLICIES}/ports")[0] == 200


def test_a_network_counts_from_the_moment_that_it_is_there(api):
    for number in range(10):
        assert api.request("POST", POLICIES, policy(f"n{number}", name=f"p{number}"))[0] == 422
        assert api.request("POST", NETWORKS, network(f"n{number}", "198.51.100.0/24"))[0] == 201
        status, answer = api.request("POST", POLICIES, policy(f"n{number}", name=f"p{number}"))
        assert status == 201, answer


def test_a_stored_policy_with_an_error_can_be_labelled_and_deleted(api, webhook, folder):
    with off(webhook):
        assert api.request("POST", POLICIES, policy("nowhere", name="old"))[0] == 201
    assert kubectl(api, folder, "label", "-n", "demo", "multi-networkpolicy", "old", "a=b").returncode == 0
    assert kubectl(api, folder, "delete", "-n", "demo", "multi-networkpolicy", "old").returncode == 0


@contextmanager
def off(process):
    """A webhook that hangs."""
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


def test_a_webhook_that_hangs_keeps_nothing_out(api, webhook):
    with off(webhook):
        begun = time.monotonic()
        assert api.request("POST", POLICIES, policy("nowhere", name="hangs"))[0] == 201
        assert 4 < time.monotonic() - begun < 15
    assert api.request("POST", POLICIES, policy("nowhere", name="again"))[0] == 422


def test_a_certificate_is_renewed_while_policies_are_applied(api):
    """Every policy is checked, before, while and after API servers meet the new one."""
    before = api.request("GET", SECRET)[1]["data"]
    remove(api, {"tls.crt": None, "tls.key": None})
    until(lambda: is_checked(api) and len(api.request("GET", SECRET)[1]["data"]) == 4)
    after = api.request("GET", SECRET)[1]["data"]
    assert before["ca.crt"] == after["ca.crt"]
    assert before["tls.crt"] != after["tls.crt"]
    for _ in range(20):
        assert is_checked(api)
        time.sleep(0.05)


def is_checked(api):
    status, answer = api.request("POST", POLICIES, policy("nowhere", name="never"))
    assert status == 422, answer
    return True


def remove(api, data):
    merge = "application/merge-patch+json"
    assert api.request("PATCH", SECRET, {"data": data}, content_type=merge)[0] == 200


def test_an_authority_is_made_anew_when_the_secret_is_emptied(api):
    before = api.request("GET", CONFIGURATION)[1]["webhooks"][0]["clientConfig"]
    remove(api, None)
    until(lambda: api.request("GET", CONFIGURATION)[1]["webhooks"][0]["clientConfig"] != before)
    time.sleep(1)
    assert is_checked(api)


def test_two_replicas_serve_with_one_certificate(api, folder):
    data = api.request("GET", SECRET)[1]["data"]
    second, health = free_ports(2)
    with running(api, folder, second, health):
        assert "mnp_admission_registered 1.0" in page(health, "/metrics")
        assert api.request("GET", SECRET)[1]["data"] == data


def test_its_rights_are_enough_and_no_more(ports, folder):
    assert "mnp_admission_sees_cluster 1.0" in page(ports[1], "/metrics")
    ask = [find_present("kubectl"), "--kubeconfig", folder / "webhook.kubeconfig", "auth", "can-i"]
    for question in ("list secrets", "get secrets/other", "create secrets", "delete secrets/mnp-admit", "get nodes"):
        ended = subprocess.run([*ask, *question.split()], capture_output=True, text=True, check=False)
        assert ended.stdout.strip() == "no", ended.stderr


def test_without_a_webhook_policies_are_stored(api, webhook):
    """The last test: the process is gone."""
    webhook.send_signal(signal.SIGTERM)
    webhook.wait(SOON)
    assert api.request("POST", POLICIES, policy("nowhere", name="gone"))[0] == 201
