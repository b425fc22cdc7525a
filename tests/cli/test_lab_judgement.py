"""`mnp lab`, where packets between stand-ins differ from those on a node, or prove nothing at all."""

import importlib
import json
import sys
from pathlib import Path

import pytest
import yaml

from mnp_core.cli.app import make_app
from mnp_core.cli.entrypoint import run_command
from mnp_core.plugins import load_plugins
from tests.plugins.distributions import write_distribution

pytestmark = pytest.mark.root


@pytest.fixture(autouse=True)
def own_run_dir(tmp_path, monkeypatch, mnp):
    """Labs of a test are its own, and are gone after it."""
    monkeypatch.setenv("MNP_RUN_DIR", str(tmp_path / "run"))
    yield
    assert mnp("lab", "down", "--all").status == 0


def nad(config, name="net", namespace="demo", **annotations):
    metadata = {"name": name, "namespace": namespace, "annotations": annotations}
    return {
        "apiVersion": "k8s.cni.cncf.io/v1",
        "kind": "NetworkAttachmentDefinition",
        "metadata": metadata,
        "spec": {"config": json.dumps(config)},
    }


def pod(name, address, network="net", namespace="demo"):
    wish = [{"name": network, "ips": [address]}]
    annotations = {"k8s.v1.cni.cncf.io/networks": json.dumps(wish)}
    metadata = {"name": name, "namespace": namespace, "labels": {"app": name}, "annotations": annotations}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata}


def policy(spec, networks="net", namespace="demo"):
    metadata = {"name": "p", "namespace": namespace, "annotations": {"k8s.v1.cni.cncf.io/policy-for": networks}}
    return {"apiVersion": "k8s.cni.cncf.io/v1beta1", "kind": "MultiNetworkPolicy", "metadata": metadata, "spec": spec}


def expecting(verdict, source="demo/b", destination="demo/a"):
    entry = {"from": source, "to": destination, "port": "tcp:80", "expect": verdict}
    metadata = {"name": "e", "namespace": "demo"}
    return {"apiVersion": "mnp.lab/v1", "kind": "Expectations", "metadata": metadata, "expectations": [entry]}


CLOSED = {"podSelector": {"matchLabels": {"app": "a"}}, "policyTypes": ["Ingress"]}
A, B = pod("a", "10.0.0.2/24"), pod("b", "10.0.0.3/24")


@pytest.fixture
def manifests(write):
    """Writes objects into a file."""
    return lambda *objects, name="lab.yaml": write(name, yaml.safe_dump_all(objects))


def verdicts(ended):
    return {(p["from"], p["to"]): p["verdict"] for p in json.loads(ended.out)["probes"]}


# --- kinds that a node cannot enforce policy on
# ----------------------------------------------------------------------------

PAST_THE_KERNEL = [
    {"type": "macvtap", "mtu": 1500},
    {"plugins": [{"type": "tuning"}, {"type": "macvtap"}]},
    {"plugins": [{"type": "macvtap", "master": "eth1"}, {"type": "sbr"}]},
]
UNCLAIMED = [{"type": "ovn-k8s-cni-overlay", "name": "x"}, {"type": "no-such-cni"}]


@pytest.mark.parametrize("config", PAST_THE_KERNEL, ids=["macvtap", "tuning-macvtap", "macvtap-sbr"])
def test_unenforceable_interface_is_no_pass(mnp, manifests, write, config):
    """S64: a veth stands in here, and rules hold on it; on a node they would not, unless it has mnp-ebpf."""
    path = manifests(nad(config), A, B, policy(CLOSED), expecting("denied"))
    ended = mnp("lab", "test", path)
    assert ended.status == 1
    assert "FAIL  demo/b -> demo/a (10.0.0.2) tcp:80: error, but denied is expected" in ended.out
    assert "denied here, but a node cannot enforce that on demo/a (net1, 10.0.0.2): it is a macvtap" in ended.out
    settings = write("settings.yaml", "plugins: {disabled: [ebpf]}\n")
    ran = mnp("lab", "run", path, "--output", "json", "--settings", settings)
    assert ran.status == 1
    assert verdicts(ran) == {("demo/a", "demo/b"): "allowed", ("demo/b", "demo/a"): "error"}
    reasons = {(report["name"], report["reason"]) for report in json.loads(ran.out)["reports"]}
    assert reasons == {("demo/a", "Unenforceable"), ("demo/b", "Unenforceable")}
    assert "a policy isolates interface net1 of pod demo/a, but a node cannot enforce it" in ran.err
    assert "demo/b, but" not in ran.err


@pytest.mark.parametrize("config", PAST_THE_KERNEL[:1], ids=["macvtap"])
def test_packets_that_pass_on_a_node_too_are_a_pass(mnp, manifests, config):
    ended = mnp("lab", "test", manifests(nad(config), A, B, expecting("allowed")))
    assert (ended.status, ended.out.splitlines()[0]) == (0, "PASS  demo/b -> demo/a (10.0.0.2) tcp:80: allowed")


@pytest.mark.parametrize("config", UNCLAIMED, ids=["ovn", "unknown"])
def test_a_policy_on_an_unclaimed_kind_is_not_enforced(mnp, manifests, config):
    ended = mnp("lab", "run", manifests(nad(config), A, B, policy(CLOSED)))
    assert ended.status == 1
    assert "a policy isolates interface net1 of pod demo/a, but a node cannot enforce it" in ended.err


def test_a_denial_by_the_other_end_is_one(mnp, manifests):
    """Two networks of one wire: the sender's is a macvtap, the receiver's can be enforced."""
    wire = {"mnp.lab/wire": "w"}
    receiver = nad({"type": "bridge"}, "net", **wire), A, policy(CLOSED)
    sender = nad({"type": "macvtap"}, "tap", **wire), pod("b", "10.0.0.3/24", "tap")
    ended = mnp("lab", "run", manifests(*receiver, *sender), "--output", "json")
    assert (ended.status, verdicts(ended)["demo/b", "demo/a"]) == (0, "denied")


@pytest.mark.parametrize("kind", ["sriov", "ib-sriov", "host-device", "vlan", "tap", "bond", "dummy", "ovs"])
def test_the_labs_own_stand_ins_give_no_warning(mnp, manifests, kind):
    """They are the lab's, not the user's: a notice, once."""
    ended = mnp("lab", "run", manifests(nad({"type": kind}), A, B, policy(CLOSED)))
    assert ended.status == 0
    assert [line.partition(":")[0] for line in ended.err.splitlines()] == ["Notice"]
    assert "veth interfaces stand in for them" in ended.err


def test_apply_prints_notices_and_no_warnings_about_stand_ins(mnp, manifests):
    assert mnp("lab", "up", manifests(nad({"type": "macvlan"}, "first"), name="first.yaml")).status == 0
    path = manifests(nad({"type": "sriov"}), A, B, pod("lost", "10.0.0.4", "nowhere"), policy(CLOSED))
    ended = mnp("lab", "apply", path)
    assert ended.status == 0
    notices = ended.err.splitlines()
    assert {line.partition(":")[0] for line in notices} == {"Notice"}
    assert any("cannot make interfaces of type 'sriov'" in notice for notice in notices)
    assert any("pod demo/lost is left out" in notice for notice in notices)
    again = mnp("lab", "apply", path)
    assert (again.out, again.err) == ("nothing has changed\n", "")


# --- pods without their rules -----------------------------------------------------------------------------------

BROKEN = """
from mnp_core import hookimpl
from mnp_core.api import PolicyRendererSpec, RuleApplierSpec, Support
from mnp_core.errors import ApplyError
from mnp_example import ExampleRenderer


class Applier:
    def probe(self):
        return Support(usable=True, detail="never works")

    def apply(self, ruleset):
        raise ApplyError("the kernel is not in the mood")

    update = apply

    def installed(self):
        return None

    def generation(self):
        return 0

    def counters(self):
        return ()

    def remove(self):
        pass


@hookimpl
def mnp_register_policy_renderers():
    yield PolicyRendererSpec(name="broken", dialect="broken", factory=ExampleRenderer)


@hookimpl
def mnp_register_rule_appliers():
    yield RuleApplierSpec(name="broken", dialect="broken", factory=Applier)
"""


@pytest.fixture
def broken(tmp_path, monkeypatch, capfd):
    """`mnp` with a backend that never works."""
    write_distribution(tmp_path, "mnp-broken", BROKEN)
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    registry = load_plugins()

    def run(*arguments):
        capfd.readouterr()
        status = run_command(lambda: make_app(registry), [str(argument) for argument in arguments])
        return status, *capfd.readouterr()

    yield run
    sys.modules.pop("mnp_broken", None)


def test_run_where_nothing_could_be_enforced_is_no_success(broken, manifests):
    """And a pod without its rules proves nothing about policies."""
    path = manifests(nad({"type": "bridge"}), A, B, policy(CLOSED), expecting("denied"))
    status, out, err = broken("lab", "run", path, "--backend", "broken")
    assert status == 1
    assert "2 probes: 2 error" in out
    for name in ("a", "b"):
        failed = f"Error: pod demo/{name}: its policies could not be enforced: "
        assert any(line.startswith(failed) and "not in the mood" in line for line in err.splitlines())
    status, out, _ = broken("lab", "test", path, "--backend", "broken")
    assert (status, "error, but denied is expected" in out) == (1, True)
    status, out, err = broken("lab", "up", path, "--backend", "broken")
    assert (status, "could not be enforced" in err) == (1, True)


# --- one pod that cannot be built -------------------------------------------------------------------------------


def status_pod(name, *entries):
    annotations = {"k8s.v1.cni.cncf.io/network-status": json.dumps(entries)}
    metadata = {"name": name, "namespace": "demo", "annotations": annotations}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata}


@pytest.mark.parametrize(
    "odd",
    [
        pod("odd", "10.0.0.9", "nowhere"),
        pod("odd", "10.0.0.2/24"),
        pod("odd", "10.0.0.999"),
        status_pod("odd", {"name": "demo/elsewhere", "interface": "net1", "ips": ["10.0.0.7"]}),
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "odd", "namespace": "demo", "annotations": []}},
    ],
    ids=["no-definition", "address-taken", "no-address", "status-of-another-cluster", "annotations-are-a-list"],
)
def test_one_pod_that_cannot_be_built_affects_itself_alone(mnp, manifests, odd):
    """S6"""
    path = manifests(nad({"type": "bridge"}), A, B, odd, policy(CLOSED), expecting("denied"))
    ended = mnp("lab", "run", path)
    assert (ended.status, ended.out.splitlines()[-1]) == (0, "2 probes: 1 allowed, 1 denied")
    (notice,) = (line for line in ended.err.splitlines() if line.startswith("Notice"))
    assert notice.startswith("Notice: pod demo/odd is left out: ")
    ran = mnp("lab", "run", path, "--output", "json")
    assert {report["name"] for report in json.loads(ran.out)["reports"]} == {"demo/odd"}
    assert mnp("lab", "test", path).status == 0


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("demo/odd", "pod demo/odd is left out of the lab: "),
        (["demo/odd", "demo/b"], "pod demo/odd is left out of the lab: "),
        ("demo/typo", "no pod is called 'demo/typo'"),
        ("demo/bare", "nothing to probe"),
    ],
)
def test_an_expectation_that_cannot_be_judged_fails_alone_and_says_why(mnp, manifests, source, words):
    """S6: the others are judged."""
    bare = status_pod("bare", {"name": "demo/net", "interface": "net1"})
    objects = (nad({"type": "bridge"}), A, B, pod("odd", "10.0.0.9", "nowhere"), bare, policy(CLOSED))
    expected = expecting("denied", source)
    for other in (expecting("denied"), expecting("allowed", "demo/a", "demo/b")):
        expected["expectations"] += other["expectations"]
    path = manifests(*objects, expected)
    ended = mnp("lab", "test", path)
    assert ended.status == 1
    lines = ended.out.splitlines()
    assert [line for line in lines if line.startswith("PASS")][-2:] == [
        "PASS  demo/b -> demo/a (10.0.0.2) tcp:80: denied",
        "PASS  demo/a -> demo/b (10.0.0.3) tcp:80: allowed",
    ]
    (failed,) = (number for number, line in enumerate(lines) if line.startswith("FAIL"))
    assert "error, but denied is expected" in lines[failed]
    assert "entry 1: from: " in lines[failed + 1] or source == "demo/bare"
    assert words in lines[failed + 1]
    answer = json.loads(mnp("lab", "test", path, "--output", "json").out)
    assert (answer["failed"], words in answer["unjudged"][0]["error"]) == (1, True)


def test_a_lab_without_any_pod_that_could_be_built_is_an_error(mnp, manifests):
    ended = mnp("lab", "run", manifests(pod("odd", "10.0.0.9", "nowhere")))
    assert ended.status == 2
    assert "there is no NetworkAttachmentDefinition demo/nowhere: add its manifest" in ended.err


@pytest.mark.parametrize(
    ("objects", "words"),
    [
        ((), "there are no pods"),
        ((nad({"type": "bridge"}), A), "there is only one pod, demo/a"),
        ((nad({"type": "bridge"}), nad({"type": "bridge"}, "n2"), A, pod("b", "10.9.0.2", "n2")), "no two pods share"),
        (
            (nad({"type": "bridge"}), *(status_pod(n, {"name": "demo/net", "interface": "net1"}) for n in "ab")),
            "no two pods have addresses of one family on a network that they share (demo/net)",
        ),
    ],
)
def test_why_there_is_nothing_to_probe(mnp, manifests, objects, words):
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "demo"}}
    ended = mnp("lab", "run", manifests(namespace, *objects))
    assert (ended.status, words in ended.out) == (0, True), ended.out


# --- custom rules -----------------------------------------------------------------------------------------------


def test_a_failure_with_custom_rules_says_that_the_policies_are_not_all(mnp, manifests, write):
    """They come first, and the explanation does not know them."""
    write("rules.txt", "tcp dport 80 accept\n")
    settings = write("settings.yaml", "backend: nftables\ncustom-v4-ingress-rule-file: rules.txt\n")
    path = manifests(nad({"type": "bridge"}), A, B, policy(CLOSED), expecting("denied"))
    ended = mnp("lab", "test", path, "--settings", settings)
    assert ended.status == 1
    assert "FAIL  demo/b -> demo/a (10.0.0.2) tcp:80: allowed, but denied is expected" in ended.out
    assert "by the policies alone, which the custom rules of the settings come before: " in ended.out


# --- networks that are one wire ---------------------------------------------------------------------------------


def neighbours(config, other=None, **annotations):
    return (
        nad(config, "n", "a", **annotations),
        nad(other or config, "n", "b", **annotations),
        pod("p", "10.0.0.2/24", "n", "a"),
        pod("p", "10.0.0.3/24", "n", "b"),
        policy({"podSelector": {}, "policyTypes": ["Ingress"]}, "a/n,b/n", "a"),
    )


@pytest.mark.parametrize(
    "config",
    [
        {"type": "macvlan"},
        {"type": "macvlan", "master": "eth1", "mode": "bridge"},
        {"type": "bridge", "bridge": "br7", "vlan": 7},
        {"type": "vlan", "master": "eth1", "vlanId": 7},
        {"plugins": [{"type": "bridge"}, {"type": "tuning"}]},
    ],
)
def test_neighbours_on_networks_of_one_wire_are_probed(mnp, manifests, config):
    """A definition for each namespace, one wire: the policy on both networks decides."""
    path = manifests(*neighbours(config), expecting("denied", "b/p", "a/p"))
    ran = mnp("lab", "run", path, "--output", "json")
    assert verdicts(ran) == {("a/p", "b/p"): "allowed", ("b/p", "a/p"): "denied"}
    assert "networks a/n and b/n are one wire" in ran.err
    assert mnp("lab", "test", path).status == 0


def test_networks_that_an_annotation_sets_apart_are_not(mnp, manifests):
    one, two, *rest = neighbours({"type": "macvlan"})
    two["metadata"]["annotations"] = {"mnp.lab/wire": "far away"}
    ended = mnp("lab", "run", manifests(one, two, *rest))
    assert "Nothing to probe: no two pods share a network." in ended.out


# --- objects without a namespace, and other documents -----------------------------------------------------------


@pytest.fixture
def bare(manifests):
    """As published policies are written: for `kubectl apply --namespace`."""
    objects = nad({"type": "bridge"}), A, B, policy(CLOSED), expecting("denied", "shop/b", "shop/a")
    for each in objects[:-1]:
        del each["metadata"]["namespace"]
    yield manifests(*objects)
    for each in (A, B):
        each["metadata"]["namespace"] = "demo"


def test_objects_without_a_namespace_are_in_the_given_one(mnp, bare):
    """As kubectl has it; in every command of the lab."""
    found = verdicts(mnp("lab", "run", bare, "-n", "shop", "--output", "json"))
    assert found == {("shop/a", "shop/b"): "allowed", ("shop/b", "shop/a"): "denied"}
    assert verdicts(mnp("lab", "run", bare, "--output", "json")).keys() == {
        ("default/a", "default/b"),
        ("default/b", "default/a"),
    }
    assert mnp("lab", "test", bare, "--namespace", "shop").status == 0
    assert mnp("lab", "up", bare, "-n", "shop").status == 0
    assert verdicts(mnp("lab", "probe", "-n", "shop", "--from", "b", "--output", "json")) == {
        ("shop/b", "shop/a"): "denied"
    }
    assert "net1" in mnp("lab", "exec", "-n", "shop", "a", "ip", "link").out
    assert mnp("lab", "delete", "-n", "shop", "mnp/p").out == "MultiNetworkPolicy shop/p deleted\n"
    assert "MultiNetworkPolicy shop/p created" in mnp("lab", "apply", bare, "-n", "shop").out
    assert "shop/a deleted" in mnp("lab", "delete", "-n", "shop", "-f", bare).out


def test_an_object_in_another_namespace_than_the_given_one_is_refused(mnp, manifests):
    ended = mnp("lab", "run", manifests(nad({"type": "bridge"}), A, B), "-n", "shop")
    assert ended.status == 2
    assert "is in namespace 'demo', not 'shop'" in ended.err


@pytest.mark.parametrize(
    "stray",
    [
        {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": []},
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "../x"}},
        {"apiVersion": "v1", "kind": "Pod", "metadata": []},
        {"kind": "Pod", "metadata": {"name": "x"}},
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "system:x"}},
    ],
    ids=["kustomization", "impossible-name", "no-metadata", "no-version", "role"],
)
def test_non_object_affects_itself_alone(mnp, manifests, stray):
    """S6: a folder of manifests holds other things, too."""
    path = manifests(nad({"type": "bridge"}), A, B, policy(CLOSED), expecting("denied"), stray)
    ended = mnp("lab", "test", path)
    assert (ended.status, ended.out.splitlines()[-1].partition(" in ")[0]) == (0, "1 passed, 0 failed"), ended
    role = stray["kind"] == "ClusterRole"
    assert ("left out" in ended.err) is not role, ended.err


# --- inputs from the world ----------------------------------------------------------------------------------------

DATA = Path(__file__).parent / "data"
NET = {"type": "macvlan", "ipam": {"type": "host-local", "subnet": "10.60.0.0/24"}}


@pytest.mark.parametrize(
    ("case", "status", "summary"),
    [
        ("policy-for-with-blanks", 0, "2 probes: 1 allowed, 1 denied"),
        ("policy-without-namespace", 0, "2 probes: 2 allowed"),
        ("cnv-bridge", 1, "2 probes: 2 allowed"),
        ("ovn-overlay", 1, "6 probes: 6 allowed"),
        ("primary-user-defined-network", 0, "2 probes: 1 allowed, 1 denied"),
        ("label-peer-without-ipam", 0, "Nothing to probe: no two pods have addresses of one family on a network that"),
        ("macvtap", 1, "2 probes: 1 allowed, 1 error"),
        ("egress-only-without-policytypes", 0, "2 probes: 1 allowed, 1 denied"),
        ("several-networks-one-wire", 0, "2 probes: 2 allowed"),
        ("odd-results", 0, "Nothing to probe: there is only one pod, demo/odd."),
        ("kinds", 0, "Nothing to probe: there is only one pod, demo/kinds."),
        ("userns", 0, "Nothing to probe: there is only one pod, demo/userns."),
    ],
)
def test_inputs_from_the_world_give_a_sensible_answer(mnp, manifests, case, status, summary):
    paths = [DATA / f"{case}.yaml"]
    if case in {"kinds", "userns"}:
        paths.append(manifests(nad(NET)))
    ended = mnp("lab", "run", *paths)
    assert (ended.status, summary in ended.out.splitlines()[-1]) == (status, True), ended
    assert "left out" not in ended.err


def test_a_policy_for_the_namespace_that_it_is_put_into_holds(mnp):
    ended = mnp("lab", "test", DATA / "policy-without-namespace.yaml", "-n", "vmexamples")
    assert (ended.status, "1 passed, 0 failed" in ended.out) == (0, True), ended


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"spec": {"hostUsers": True}},
        {"spec": {"hostUsers": None}},
        {"metadata": {"finalizers": ["x"]}},
        {"status": {"phase": "Pending"}},
    ],
    ids=["userns", "host-users", "null", "finalizer", "pending"],
)
def test_a_pod_in_a_user_namespace_is_enforced_like_any_other(mnp, manifests, more):
    (userns,) = yaml.safe_load_all((DATA / "userns.yaml").read_text())
    for key, value in more.items():
        userns[key] = {**userns.get(key, {}), **value}
    closed = policy({"podSelector": {"matchLabels": {"app": "web"}}, "policyTypes": ["Ingress"]})
    beside = pod("b", "10.60.0.9")
    ended = mnp("lab", "run", manifests(nad(NET), beside, userns, closed), "--probe", "tcp:80", "--output", "json")
    assert verdicts(ended) == {("demo/userns", "demo/b"): "allowed", ("demo/b", "demo/userns"): "denied"}
