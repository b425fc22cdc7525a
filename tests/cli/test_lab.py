"""`mnp lab`: real namespaces, real packets."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

pytestmark = pytest.mark.root

MNP = [sys.executable, "-m", "mnp_core.cli"]


@pytest.fixture(autouse=True)
def own_run_dir(tmp_path, monkeypatch, mnp):
    """Labs of a test are its own, and are gone after it."""
    monkeypatch.setenv("MNP_RUN_DIR", str(tmp_path / "run"))
    yield
    assert mnp("lab", "down", "--all").status == 0


@pytest.fixture
def quickstart(examples):
    return examples / "quickstart"


def verdicts(ended):
    return {
        (probe["from"].split("/")[1], probe["to"].split("/")[1], probe["protocol"], probe["port"]): probe["verdict"]
        for probe in json.loads(ended.out)["probes"]
    }


def start(*arguments, **options):
    return subprocess.Popen(
        [*MNP, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
    )


# --- run ------------------------------------------------------------------------------------------------------------


def test_run_prints_the_matrix(mnp, quickstart):
    ended = mnp("lab", "run", quickstart)
    assert (ended.status, ended.err) == (0, "")
    assert [line.split() for line in ended.out.splitlines()] == [
        ["tcp:80", "on", "demo/data"],
        ["from", "\\", "to", "demo/client", "demo/stranger", "demo/web"],
        ["demo/client", "-", "allowed", "allowed"],
        ["demo/stranger", "allowed", "-", "denied"],
        ["demo/web", "allowed", "allowed", "-"],
        [],
        ["6", "probes:", "5", "allowed,", "1", "denied"],
    ]


def test_run_for_programs(mnp, quickstart):
    ended = mnp("lab", "run", quickstart, "--output", "json")
    found = json.loads(ended.out)
    assert found.keys() == {"probes", "reports"}
    assert found["reports"] == []
    assert {
        "from": "demo/stranger",
        "to": "demo/web",
        "network": "demo/data",
        "interface": "net1",
        "address": "10.10.0.4",
        "protocol": "TCP",
        "port": 80,
        "verdict": "denied",
    } in found["probes"]


def test_run_probes_declared_ports_and_else_tcp_80(mnp, examples):
    asked = {key[1:] for key in verdicts(mnp("lab", "run", examples / "egress", "--output", "json"))}
    assert asked == {("client", "TCP", 80), ("db", "TCP", 5432), ("web", "TCP", 80)}


def test_run_probes_the_given_pairs(mnp, quickstart):
    probes = ("--probe", "icmp", "--probe", "udp:53", "--probe", "sctp:99")
    found = verdicts(mnp("lab", "run", quickstart, *probes, "--output", "json"))
    assert {key[2:] for key in found} == {("ICMP", None), ("UDP", 53), ("SCTP", 99)}
    assert found["client", "web", "ICMP", None] == "denied"
    assert found["web", "client", "ICMP", None] == "allowed"


def test_problems_in_objects_stand_beside_the_result(mnp, quickstart, write):
    broken = write(
        "broken.yaml",
        """
        apiVersion: k8s.cni.cncf.io/v1beta1
        kind: MultiNetworkPolicy
        metadata: {name: broken, namespace: demo, annotations: {k8s.v1.cni.cncf.io/policy-for: data}}
        spec:
          podSelector: {matchLabels: {app: stranger}}
          ingress: [{from: [{ipBlock: {cidr: nonsense}}]}]
        """,
    )
    eyes = mnp("lab", "run", quickstart, broken)
    assert eyes.status == 0
    assert "Warning: MultiNetworkPolicy demo/broken: spec.ingress[0].from[0].ipBlock.cidr" in eyes.err
    programs = mnp("lab", "run", quickstart, broken, "--output", "json")
    assert [report["name"] for report in json.loads(programs.out)["reports"]] == ["demo/broken"]
    assert programs.err == ""


# --- a lab that stays -----------------------------------------------------------------------------------------------


def test_a_lab_step_by_step(mnp, quickstart):
    assert "Lab default is up: 3 pods" in mnp("lab", "up", quickstart).out
    assert "10.10.0.4/24" in mnp("lab", "get").out
    assert "10.10.0.4/24" in mnp("lab", "exec", "demo/web", "ip", "address", "show", "net1").out
    probe = ("lab", "probe", "--from", "demo/stranger", "--to", "demo/web", "--output", "json")
    assert [*verdicts(mnp(*probe)).values()] == ["denied"]
    assert mnp("lab", "test").out.splitlines()[-1].startswith("5 passed, 0 failed in ")

    deleted = mnp("lab", "delete", "mnp/demo/web-deny", "--file", quickstart / "policy.yaml")
    assert deleted.out.splitlines() == [
        "MultiNetworkPolicy demo/web-allow-client deleted",
        "MultiNetworkPolicy demo/web-deny deleted",
    ]
    assert [*verdicts(mnp(*probe)).values()] == ["allowed"]
    assert "demo/web-deny created" in mnp("lab", "apply", quickstart / "policy.yaml").out
    assert [*verdicts(mnp(*probe)).values()] == ["denied"]

    assert mnp("lab", "down").out == "Lab default is down.\n"
    assert "No lab is up" in mnp("lab", "get").err


def test_labs_stand_side_by_side(mnp, examples):
    assert mnp("lab", "up", examples / "quickstart", "--name", "one").status == 0
    assert mnp("lab", "up", examples / "deny-all", "--name", "two").status == 0
    assert [lab["name"] for lab in json.loads(mnp("lab", "get", "--output", "json").out)["labs"]] == ["one", "two"]
    assert mnp("lab", "test", "--name", "one").status == 0
    assert mnp("lab", "test", "--name", "two").status == 0
    assert mnp("lab", "down", "--all").out == "Lab one is down.\nLab two is down.\n"


def test_a_lab_remembers_its_settings(mnp, examples, write, monkeypatch):
    """Also when it is gone on with from another folder."""
    settings = write("settings.yaml", "accept-icmp: true\n")
    monkeypatch.chdir(settings.parent)
    assert mnp("lab", "up", examples / "deny-all", "--settings", settings.name).status == 0
    monkeypatch.chdir("/")
    assert "deleted" in mnp("lab", "delete", "mnp/shop/web-deny-all").out
    assert "created" in mnp("lab", "apply", examples / "deny-all" / "policy.yaml").out
    found = verdicts(
        mnp("lab", "probe", "--to", "shop/web", "--probe", "icmp", "--probe", "tcp:80", "--output", "json")
    )
    assert found == {
        ("cache", "web", "ICMP", None): "allowed",
        ("cache", "web", "TCP", 80): "denied",
        ("guest", "web", "ICMP", None): "allowed",
        ("guest", "web", "TCP", 80): "denied",
    }


def test_exec_hands_over_everything_after_the_pod_and_ends_as_the_program_does(mnp, quickstart):
    mnp("lab", "up", quickstart)
    assert mnp("lab", "exec", "demo/web", "sh", "-c", 'echo "$@"; exit 7', "--", "--name", "x").out == "--name x\n"
    assert mnp("lab", "exec", "demo/web", "sh", "-c", "exit 7").status == 7
    assert mnp("lab", "exec", "demo/web", "--", "sh", "-c", "exit 7").status == 7


def test_exec_separates_its_own_failures_from_the_programs(mnp, quickstart, write):
    """As docker and kubectl do."""
    assert mnp("lab", "exec", "demo/web", "true").status == 125  # there is no lab
    mnp("lab", "up", quickstart)
    script = write("script", "no program")
    for arguments, status, words in (
        (["demo/x", "true"], 125, "there is no pod demo/x"),
        (["demo/web", "no-such-program"], 127, "there is no program 'no-such-program'"),
        (["demo/web", script / "x"], 127, "there is no program"),
        (["demo/web", script], 126, "cannot be run: Permission denied"),
        (["demo/web", "sh", "-c", "kill -9 $$"], 137, ""),
    ):
        ended = mnp("lab", "exec", *arguments)
        assert (ended.status, words in ended.err) == (status, True), ended
    script.chmod(0o755)
    assert mnp("lab", "exec", "demo/web", script).status == 126  # exec format error


def test_the_program_takes_the_place_of_exec(mnp, quickstart):
    """The process of `mnp` becomes the program, for waiters and signals; no lock of the lab is held meanwhile."""
    mnp("lab", "up", quickstart)
    process = start("lab", "exec", "demo/web", "sh", "-c", "echo $$; ip -brief link; read line; exit $line", stdin=-1)
    try:
        assert int(process.stdout.readline()) == process.pid
        assert process.stdout.readline().startswith("lo")
        assert process.stdout.readline().startswith("net1")
        assert mnp("lab", "get").status == 0
        assert not any(target.startswith("net:") for target in open_files(process.pid))
        assert process.communicate("9\n", timeout=10) == ("", "")
        assert process.returncode == 9
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize(("arguments", "status"), [(["demo/x", "true"], 125), (["demo/web", "no-such"], 127)])
def test_exec_as_a_program_reports_its_own_failures(mnp, quickstart, arguments, status):
    mnp("lab", "up", quickstart)
    process = start("lab", "exec", *arguments)
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err.startswith("Error: there is no "), err.count("\n")) == (status, True, 1)


def test_exec_in_the_background(mnp, quickstart, tmp_path):
    """It says which process that is, and nothing of it holds the caller."""
    mnp("lab", "up", quickstart)
    ended = mnp("lab", "exec", "--detach", "demo/web", "sh", "-c", f"ip -brief link > {tmp_path}/links; sleep 60")
    pid = int(ended.out)
    try:
        until = time.monotonic() + 10
        while "net1" not in (tmp_path / "links").read_text() if (tmp_path / "links").exists() else True:
            assert time.monotonic() < until
            time.sleep(0.02)
        assert os.getsid(pid) == pid
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def test_get_through_a_pipe_cuts_nothing(mnp, write):
    name = "a-very-long-name-of-a-pod-" + "x" * 60
    mnp("lab", "up", write("lab.yaml", LONG.format(name=name)))
    process = start("lab", "get", env=os.environ | {"COLUMNS": "80"})
    out, _ = process.communicate(timeout=30)
    assert f"demo/{name}  net1       demo/{name}  10.10.0.1/24" in out


LONG = """
apiVersion: k8s.cni.cncf.io/v1
kind: NetworkAttachmentDefinition
metadata: {{name: {name}, namespace: demo}}
spec: {{config: '{{"type": "bridge"}}'}}
---
apiVersion: v1
kind: Pod
metadata:
  name: {name}
  namespace: demo
  labels: {{app: web}}
  annotations: {{k8s.v1.cni.cncf.io/networks: '[{{"name": "{name}", "ips": ["10.10.0.1/24"]}}]'}}
"""


def test_get_for_programs(mnp, write):
    """The information for other tools: labels, path of the namespace, enforcement of the lab."""
    settings = write("settings.yaml", "accept-icmp: true\n")
    path = write("lab.yaml", LONG.format(name="web"))
    mnp("lab", "up", path, "--settings", settings, "--backend", "nftables")
    (lab,) = json.loads(mnp("lab", "get", "--output", "json").out)["labs"]
    assert (lab["backend"], lab["settings"], lab["enforced"]) == ("nftables", str(settings), True)
    (found,) = lab["pods"]
    assert (found["name"], found["labels"]) == ("demo/web", {"app": "web"})
    shown = subprocess.run(
        ["nsenter", f"--net={found['netns']}", "ip", "-brief", "link"], capture_output=True, text=True, check=True
    )
    assert "net1" in shown.stdout


def test_get_names_the_backend_that_was_chosen_without_a_word_of_the_user(mnp, quickstart):
    mnp("lab", "up", quickstart)
    (lab,) = json.loads(mnp("lab", "get", "--output", "json").out)["labs"]
    assert lab["backend"] in {"nftables", "iptables-nft", "iptables-legacy"}
    assert lab["settings"] is None


def test_deleting_a_namespace_deletes_its_objects(mnp, quickstart):
    """As kubectl does; also of one that no manifest declares."""
    mnp("lab", "up", quickstart)
    ended = mnp("lab", "delete", "namespace/demo")
    assert ended.status == 0
    assert {"Namespace demo deleted", "Pod demo/web deleted"} <= set(ended.out.splitlines())
    assert json.loads(mnp("lab", "get", "--output", "json").out)["labs"][0]["pods"] == []
    again = mnp("lab", "delete", "ns/demo")
    assert (again.status, "Namespace demo is not in the lab" in again.err) == (2, True)


@pytest.mark.parametrize("text", ["pdo/demo/web", "svc/demo/web", "cronjobs/x"])
def test_an_unknown_kind_is_a_usage_error_that_names_the_kinds(mnp, quickstart, text):
    mnp("lab", "up", quickstart)
    ended = mnp("lab", "delete", text)
    assert ended.status == 2
    assert "is no kind of object here: " in ended.err
    for kind in ("Pod", "MultiNetworkPolicy", "MacvlanNetworkPolicy", "Namespace", "Expectations", "nad"):
        assert kind in ended.err


def test_kinds_of_plugins_and_of_the_lab_are_known(mnp, quickstart):
    mnp("lab", "up", quickstart)
    assert "MacvlanNetworkPolicy demo/x is not in the lab" in mnp("lab", "delete", "macvlannetworkpolicy/demo/x").err
    assert "Expectations demo/quickstart deleted" in mnp("lab", "delete", "expectations/demo/quickstart").out


def test_manifests_may_be_named_as_kubectl_has_it(mnp, quickstart):
    assert mnp("lab", "up", "-f", quickstart / "cluster.yaml").status == 0
    assert "demo/web-deny created" in mnp("lab", "apply", "-f", quickstart / "policy.yaml").out
    ended = mnp("lab", "apply")
    assert (ended.status, "Missing argument 'PATH...'" in ended.err) == (2, True)


def test_a_control_run_enforces_nothing(mnp, quickstart):
    """Nor does a later command on the lab."""
    found = verdicts(mnp("lab", "run", quickstart, "--no-enforce", "--output", "json"))
    assert set(found.values()) == {"allowed"}
    assert mnp("lab", "up", quickstart, "--no-enforce").status == 0
    probe = ("lab", "probe", "--output", "json")
    assert set(verdicts(mnp(*probe)).values()) == {"allowed"}
    assert mnp("lab", "apply", quickstart / "policy.yaml").status == 0
    assert set(verdicts(mnp(*probe)).values()) == {"allowed"}
    (lab,) = json.loads(mnp("lab", "get", "--output", "json").out)["labs"]
    assert (lab["enforced"], lab["backend"]) == (False, None)
    ended = mnp("lab", "test")
    assert (ended.status, "but denied is expected" in ended.out) == (1, True)


def test_watch_follows_the_manifests_and_leaves_the_lab_up(mnp, quickstart, write):
    policy = quickstart / "policy.yaml"
    watched = write("policy.yaml", policy.read_text())
    process = start("lab", "up", quickstart / "cluster.yaml", watched, "--watch")
    try:
        assert "is up" in process.stdout.readline()
        assert "Watching" in process.stderr.readline()
        time.sleep(0.5)  # until the watcher has begun to watch
        watched.write_text("# nothing\n")
        said = {process.stdout.readline(), process.stdout.readline()}
        assert said == {
            "MultiNetworkPolicy demo/web-allow-client deleted\n",
            "MultiNetworkPolicy demo/web-deny deleted\n",
        }
        watched.write_text("a: [\n")
        assert "policy.yaml, document 1" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=10) == 0
    finally:
        process.kill()
        process.communicate()
    assert "3 pods" in mnp("lab", "up", quickstart, "--name", "other").out
    assert "lab default" in mnp("lab", "get").out


def wait_for_namespaces(pid, seconds=60):
    """Until a process holds network namespaces open: it has begun to build."""
    until = time.monotonic() + seconds
    while not any(target.startswith("net:") for target in open_files(pid)):
        assert time.monotonic() < until, "no namespace was made"
        time.sleep(0.05)


def open_files(pid):
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            yield str(fd.readlink())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_says_so_and_leaves_nothing(examples, number, tmp_path):
    process = start("lab", "run", examples / "deny-all", "--timeout", "30")
    wait_for_namespaces(process.pid)
    process.send_signal(number)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 128 + number
    assert out == ""
    assert "Traceback" not in err
    assert [*tmp_path.joinpath("run").rglob("*")] == []


# --- test -----------------------------------------------------------------------------------------------------------


def test_a_failed_expectation_is_explained_and_ends_with_1(mnp, quickstart, write):
    expectations = write(
        "expectations.yaml",
        """
        - {from: demo/stranger, to: demo/web, port: tcp:80, expect: allowed}
        - {from: demo/client, to: demo/web, port: tcp:80, expect: allowed}
        """,
    )
    ended = mnp("lab", "test", quickstart / "cluster.yaml", quickstart / "policy.yaml", "--expect", expectations)
    assert ended.status == 1
    assert "FAIL  demo/stranger -> demo/web (10.10.0.4) tcp:80: denied, but allowed is expected" in ended.out
    assert "expectations.yaml, entry 1" in ended.out
    assert "ingress of demo/web on net1: denied, no rule allows it" in ended.out
    assert ended.out.splitlines()[-1].startswith("1 passed, 1 failed in ")


def test_a_test_that_expects_nothing_does_not_pass(mnp, quickstart):
    ended = mnp("lab", "test", quickstart / "cluster.yaml")
    assert ended.status == 2
    assert "nothing is expected" in ended.err


def test_test_results_for_programs(mnp, quickstart, write):
    expectations = write("e.yaml", "[{from: demo/stranger, to: demo/web, port: tcp:80, expect: allowed}]")
    ended = mnp("lab", "test", quickstart / "cluster.yaml", "--expect", expectations, "--output", "json")
    found = json.loads(ended.out)
    assert (found["passed"], found["failed"]) == (1, 0)
    assert (found["probes"][0]["expected"], found["probes"][0]["passed"]) == ("allowed", True)


# --- wrong input ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "missing.yaml"], ["missing.yaml", "cannot be read"]),
        (["run", "{quickstart}", "--probe", "tcp"], ["'tcp' is not a probe", "tcp:80"]),
        (["run", "{quickstart}", "--probe", "tcp:99999"], ["ports are 1 to 65535"]),
        (["run", "{quickstart}", "--backend", "pf"], ["'pf'", "nftables"]),
        (["run", "{quickstart}", "--timeout", "0"], ["--timeout"]),
        (["up", "{quickstart}", "--name", "../x"], ["'../x' is not a name for a lab"]),
        (["probe"], ["no lab 'default'", "mnp lab up"]),
        (["test"], ["no lab 'default'"]),
        (["test", "{quickstart}", "--expect", "missing.yaml"], ["missing.yaml: cannot be read: No such file"]),
        (["test", "--backend", "nftables"], ["leave --settings and --backend out"]),
        (["down"], ["no lab 'default'"]),
        (["delete"], ["nothing to delete", "pod/shop/web"]),
        (["delete", "web"], ["'web' is no object"]),
        (["exec", "demo/web"], ["Missing argument 'COMMAND"]),
        (["exec", "demo/web", "--"], ["nothing to run"]),
    ],
)
def test_wrong_input_is_one_clear_message(mnp, quickstart, arguments, words):
    ended = mnp("lab", *(argument.format(quickstart=quickstart) for argument in arguments))
    assert (ended.status, ended.out) == (2, "")
    assert all(word in ended.err for word in words), ended.err


def test_wrong_pods_and_networks_in_a_lab_are_named(mnp, quickstart):
    mnp("lab", "up", quickstart)
    for arguments, status in (
        (["probe", "--from", "demo/x"], 2),
        (["probe", "--network", "demo/x"], 2),
        (["exec", "demo/x", "true"], 125),
        (["delete", "pod/demo/x"], 2),
    ):
        ended = mnp("lab", *arguments)
        assert ended.status == status
        assert "demo/x" in ended.err
    assert "is up already" in mnp("lab", "up", quickstart).err


def test_without_root_it_says_so(mnp, quickstart, monkeypatch):
    manifest = (quickstart / "cluster.yaml").read_bytes()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(manifest)))
    os.seteuid(65534)
    try:
        ended = mnp("lab", "run", "-")
    finally:
        os.seteuid(0)
    assert ended.status == 2
    assert "needs root" in ended.err


def test_the_reader_of_a_pipe_may_have_seen_enough(quickstart):
    command = f"{sys.executable} -m mnp_core.cli render {quickstart} --backend nftables | head -n 1"
    process = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert (process.stdout, process.stderr) == ("# pod demo/client, nftables\n", "")


NAMELESS = Path(__file__).parent / "data" / "policy-without-namespace.yaml"


def test_objects_without_a_namespace_are_put_where_the_option_says(mnp):
    """As `kubectl apply --namespace`: the policy names none, all else is in vmexamples."""
    assert mnp("lab", "test", NAMELESS).status == 1  # in `default` it selects nothing
    assert mnp("lab", "test", NAMELESS, "-n", "vmexamples").status == 0
    assert "denied" in mnp("lab", "run", NAMELESS, "-n", "vmexamples").out
    assert mnp("lab", "up", NAMELESS, "-n", "vmexamples").status == 0
    try:
        probe = ("lab", "probe", "--from", "vm1", "--to", "vm2", "-n", "vmexamples")
        assert " denied" in mnp(*probe).out
        assert mnp("lab", "exec", "-n", "vmexamples", "vm1", "true").status == 0
        assert mnp("lab", "delete", "mnp/deny-by-default", "-n", "vmexamples").status == 0
        assert " denied" not in mnp(*probe).out
        assert mnp("lab", "apply", NAMELESS, "-n", "vmexamples").status == 0
        assert mnp("lab", "delete", "-f", NAMELESS, "-n", "vmexamples").status == 0
    finally:
        mnp("lab", "down")


def test_an_object_of_another_namespace_is_an_error_that_names_it(mnp, quickstart):
    for command in ("run", "up", "apply", "test"):
        ended = mnp("lab", command, quickstart, "-n", "elsewhere")
        assert (ended.status, ended.out) == (2, "")
        assert "is in namespace 'demo', not 'elsewhere'" in ended.err
