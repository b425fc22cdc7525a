"""Manifests from the field: every offline command has a sensible answer to each, and to variants of it."""

import json
from pathlib import Path

import pytest

from tests.cli.objects import A, B, network, pod, policy

CASES = sorted((Path(__file__).parent / "data").glob("*.yaml"))


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.stem)
def test_every_command_has_an_answer(mnp, case):
    for command in (["validate"], ["render", "--backend", "nftables"], ["matrix"]):
        ended = mnp(command[0], case, *command[1:])
        assert ended.status in ({0, 1} if command == ["validate"] else {0}), ended.err
        assert "Traceback" not in ended.err


PAIRS = {
    "policy-for-with-blanks": ("demo/b", "demo/a", "denied"),
    "several-networks-one-wire": ("b/pod", "a/pod", "allowed"),
    "egress-only-without-policytypes": ("demo/client", "demo/server", "denied"),
    "primary-user-defined-network": ("demo/b", "demo/a", "denied"),
}


@pytest.mark.parametrize(("case", "expected"), PAIRS.items())
def test_explain_of_the_pair_that_matters(mnp, case, expected):
    source, destination, verdict = expected
    path = Path(__file__).parent / "data" / f"{case}.yaml"
    ended = mnp("explain", path, "--from", source, "--to", destination, "-o", "json")
    assert [found["verdict"] for found in json.loads(ended.out)["explanations"]] == [verdict]


# --- policy-for, ports and types ------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["demo /data", "demo/ data", " demo / data ", "demo\t/\tdata", "other , demo/\ndata"])
def test_blanks_around_the_slash_are_enforced_with_a_hint(verdict, problems, text):
    """S2."""
    objects = [network(), network("other"), A, B, policy(policy_for=text)]
    assert verdict(objects) == "denied"
    assert problems(objects) == set()
    assert problems(objects, "hint") == {("MultiNetworkPolicy", "Spelling")}


@pytest.mark.parametrize(
    "port",
    [{"port": "80"}, {"protocol": "tcp"}, {"protocol": "Tcp", "port": 80}, {"port": "79", "endPort": "81"}],
)
def test_other_spellings_of_ports_have_the_same_meaning(verdict, problems, port):
    """S30."""
    objects = [network(), A, B, policy(ingress=[{"ports": [port]}])]
    assert verdict(objects, "--port", "tcp:80") == "allowed"
    assert verdict(objects, "--port", "udp:80") == "denied"
    assert (problems(objects), problems(objects, "hint")) == (set(), {("MultiNetworkPolicy", "Spelling")})


@pytest.mark.parametrize("types", [["ingress"], ["Ingres", "EGRESS"], [None], [7], [["Ingress"]]])
def test_types_without_a_valid_entry_never_open(verdict, problems, types):
    """S1."""
    objects = [network(), A, B, policy(policyTypes=types)]
    assert verdict(objects) == "denied"
    assert problems(objects) == {("MultiNetworkPolicy", "InvalidPolicyType")}


@pytest.mark.parametrize(
    "spec",
    [
        {"policyTypes": None, "egress": [{}]},
        {"policyTypes": [], "egress": [{"to": [{"podSelector": {}}]}]},
        {"policyTypes": None, "egress": [{"ports": [{"port": 80}]}], "ingress": []},
        {"policyTypes": None, "egress": [{}, {}], "ingress": None},
        {"policyTypes": None, "egress": [{"to": [{"ipBlock": {"cidr": "0.0.0.0/0"}}]}]},
    ],
)
def test_egress_rules_alone_close_ingress_with_a_hint(verdict, problems, spec):
    """S1."""
    objects = [network(), A, B, policy(**spec)]
    assert verdict(objects) == "denied"
    assert (problems(objects), problems(objects, "hint")) == (set(), {("MultiNetworkPolicy", "ImpliedPolicyType")})


# --- namespaces ------------------------------------------------------------------------------------------------------


def without_namespace(raw):
    return raw | {"metadata": {key: value for key, value in raw["metadata"].items() if key != "namespace"}}


@pytest.mark.parametrize(
    "bare", [["policy"], ["policy", "a"], ["network"], ["a", "b"], ["a", "b", "network", "policy"]]
)
def test_objects_without_a_namespace_are_put_where_the_option_says(ask, bare):
    objects = {"network": network(), "a": A, "b": B, "policy": policy(policy_for="demo/data")}
    given = [without_namespace(raw) if name in bare else raw for name, raw in objects.items()]
    ends = ("--from", "b", "--to", "a", "-n", "demo")
    (found,) = ask("explain", given, *ends)["explanations"]
    assert (found["from"], found["to"], found["verdict"]) == ("demo/b", "demo/a", "denied")
    pods = {
        each["pod"] for each in ask("render", given, "--pod", "a", "-n", "demo", "--backend", "nftables")["rulesets"]
    }
    assert pods == {"demo/a"}
    assert ask("validate", given, "-n", "demo", status=0)["reports"] == []
    assert [p["verdict"] for p in ask("matrix", given, "-n", "demo", "--to", "a")["probes"]] == ["denied"]


@pytest.mark.parametrize("command", ["validate", "matrix", "render"])
def test_an_object_of_another_namespace_is_an_error_that_names_it(mnp, write, command):
    path = write("pod.json", json.dumps(pod("far", "elsewhere")))
    ended = mnp(command, path, "--namespace", "demo")
    assert ended.status == 2
    assert "Pod 'far' is in namespace 'elsewhere', not 'demo'" in ended.err


@pytest.mark.parametrize("name", ["", "UPPER", "a/b", "-a", "x" * 64])
def test_invalid_namespace_is_refused(mnp, write, name):
    ended = mnp("validate", write("pod.json", json.dumps(A)), f"--namespace={name}")
    assert ended.status == 2
    assert "is not the name of a namespace" in ended.err


# --- one pod stops nothing -------------------------------------------------------------------------------------------

INFINIBAND = "00:00:00:49:fe:80:00:00:00:00:00:00:ec:0d:9a:03:00:d0:ae:20"
UNPLANNABLE = {
    "definition missing": pod("x", networks="nowhere"),
    "annotation torn": pod("x", networks='[{"name": '),
    "annotation of nonsense": pod("x", networks='[7, {"name": {}}]'),
    "infiniband": pod(
        "x", status=[{"name": "demo/data", "interface": "net1", "ips": ["10.10.0.9"], "mac": INFINIBAND}]
    ),
    "no interface": pod("x", status=[{"name": "demo/data", "ips": ["10.10.0.9"], "mac": ""}]),
    "duplicate address": pod("x", status=[{"name": "demo/data", "interface": "net1", "ips": ["10.10.0.2"]}]),
    "status torn": pod("x", status="[{"),
    "status of nonsense": pod("x", status=[7, {"name": 7}, {"name": "a/b/c", "interface": "net1"}]),
    "unknown network in status": pod("x", status=[{"name": "demo/gone", "interface": "net3", "ips": ["10.9.0.1"]}]),
    "one interface twice": pod("x", networks="data@net1,data@net1"),
    "no name": {"apiVersion": "v1", "kind": "Pod", "metadata": {}},
    "a name that cannot be": pod("X y"),
    "metadata is a list": {"apiVersion": "v1", "kind": "Pod", "metadata": []},
    "labels are a list": pod("x", labels=["a"]),
    "annotations are text": pod("x", annotations="none"),
    "the same pod twice": pod("b", networks="data"),
    "dhcp": pod("x", networks="dhcp"),
    "ipam is nonsense": pod("x", networks="nonsense"),
    "range used up": pod("x", networks="tiny,tiny"),
    "no object": {"metadata": {"name": "x"}},
    "a number": 7,
}
FURTHER = [
    network("dhcp", type="macvlan", master="eth2", ipam={"type": "dhcp"}),
    network("nonsense", type="macvlan", master="eth3", ipam={"type": "host-local", "subnet": "everything"}),
    network("tiny", type="macvlan", master="eth4", ipam={"type": "host-local", "subnet": "10.9.0.0/30"}),
    {"apiVersion": "example.org/v1", "kind": "IceCreamList", "metadata": {"name": "x"}, "spec": {"items": 3}},
]


@pytest.mark.parametrize("odd", UNPLANNABLE.values(), ids=UNPLANNABLE.keys())
def test_one_pod_that_no_lab_could_build_ends_nothing_for_the_others(ask, verdict, odd):
    """S6."""
    objects = [network(), *FURTHER, A, B, policy(), odd]
    assert verdict(objects) == "denied"
    ask("validate", objects)
    pods = {each["pod"] for each in ask("render", objects, "--backend", "nftables")["rulesets"]}
    assert {"demo/a", "demo/b"} <= pods
    verdicts = {(p["from"], p["to"]): p["verdict"] for p in ask("matrix", objects, "--probe", "tcp:80")["probes"]}
    assert (verdicts["demo/b", "demo/a"], verdicts["demo/a", "demo/b"]) == ("denied", "allowed")


def test_an_attachment_without_a_definition_is_lacking_alone(ask):
    """S6: the pod's other attachments have their addresses."""
    objects = [network(), pod("a", networks="nowhere,data"), B, policy()]
    assert [p["interface"] for p in ask("matrix", objects, "--to", "demo/a")["probes"]] == ["net2"]
    reports = ask("validate", objects, status=1)["reports"]
    assert [(r["reason"], r["name"]) for r in reports] == [("UnknownNetwork", "demo/a")]


def test_assumed_addresses_are_no_address_of_another_pod(ask):
    taken = pod("z", status=[{"name": "demo/data", "interface": "net1", "ips": ["10.10.0.2"]}])
    probes = ask("matrix", [network(), A, B, taken])["probes"]
    assert {p["to"]: p["address"] for p in probes} == {
        "demo/a": "10.10.0.3",
        "demo/b": "10.10.0.4",
        "demo/z": "10.10.0.2",
    }


def test_an_address_that_only_a_cluster_knows_is_a_hint(ask):
    objects = [FURTHER[0], pod("a", networks="dhcp"), pod("b", networks="dhcp")]
    objects.append(policy(policy_for="dhcp", ingress=[{"from": [{"podSelector": {}}]}]))
    (report,) = ask("validate", objects, status=0)["reports"]
    assert (report["reason"], report["severity"]) == ("NoAddress", "hint")


def test_a_dump_of_a_whole_cluster_is_judged(mnp, write):
    """As `kubectl get -A -o yaml` writes it: lists of any kinds with status fields and without apiVersion in items."""
    managed = {"uid": "0-1", "resourceVersion": "1", "managedFields": [{"manager": "kubelet"}], "ownerReferences": []}
    running = [raw | {"metadata": raw["metadata"] | managed, "status": {"phase": "Running"}} for raw in (A, B)]
    bare = [{key: raw[key] for key in ("metadata", "spec", "status")} for raw in running]
    others = [
        {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "r", "namespace": "demo", **managed}},
        {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-1", **managed}},
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s:weird", "namespace": "kube-system", **managed}},
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "system:node"}},
        {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "deny", **managed}},
        policy() | {"status": {"conditions": []}},
        network(),
    ]
    write("pods.json", json.dumps({"apiVersion": "v1", "kind": "PodList", "items": bare}))
    folder = write("all.json", json.dumps({"apiVersion": "v1", "kind": "List", "items": others})).parent
    write("kustomization.yaml", "resources: [all.json]\n")
    write("values.yaml", "replicas: 3\n")
    ended = mnp("validate", folder)
    assert (ended.status, ended.err) == (0, "")
    assert ended.out == (
        "no problems in 1 MultiNetworkPolicy, 1 Namespace, 1 NetworkAttachmentDefinition, 2 Pod;"
        " 7 documents of other kinds skipped\n"
    )
    assert "denied" in mnp("explain", folder, "--from", "demo/b", "--to", "demo/a").out


# --- explain ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ipam", [{}, {"ipam": {}}, {"ipam": None}])
def test_pods_without_known_addresses_share_their_network_all_the_same(ask, problems, ipam):
    """S21."""
    objects = [network("l2", type="bridge", bridge="br1", **ipam), pod("a", networks="l2"), pod("b", networks="l2")]
    objects.append(policy(policy_for="l2", ingress=[{"from": [{"podSelector": {"matchLabels": {"app": "b"}}}]}]))
    answer = ask("explain", objects, "--from", "demo/b", "--to", "demo/a")
    assert answer["explanations"] == []
    (unknown,) = answer["unknown"]
    assert "demo/b and demo/a are both attached to demo/l2, but no address of demo/b (net1)" in unknown
    assert problems(objects) == {("MultiNetworkPolicy", "NoAddress")}


@pytest.mark.parametrize(
    "config",
    [
        {"type": "macvlan"},
        {"type": "macvlan", "master": "eth1"},
        {"type": "macvlan", "master": "eth1", "mode": "bridge"},
        {"type": "bridge", "bridge": "br0", "vlan": 7},
        {"type": "ipvlan", "master": "bond0"},
    ],
)
def test_networks_of_one_wire_are_judged_by_the_networks_of_the_policy(ask, config):
    """S21."""
    ranges = ({"rangeStart": "10.10.0.10"}, {"rangeStart": "10.10.0.20"})
    networks = [
        network(f"net-{home}", home, **config, ipam={"type": "host-local", "subnet": "10.10.0.0/24", **part})
        for home, part in zip(("a", "b"), ranges, strict=True)
    ]
    pods = [pod("pod", home, networks=f"net-{home}") for home in ("a", "b")]
    allow = {"from": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "b"}}}]}
    for policy_for, expected in (("a/net-a,b/net-b", "allowed"), ("a/net-a", "denied")):
        rule = policy("p", "a", policy_for=policy_for, podSelector={}, ingress=[allow])
        (found,) = ask("explain", [*networks, *pods, rule], "--from", "b/pod", "--to", "a/pod")["explanations"]
        assert found["verdict"] == expected, policy_for


def test_custom_rules_are_said_to_come_first(mnp, write):
    """They are put before the policies' rules, and only a packet can ask them."""
    path = write("objects.json", json.dumps({"apiVersion": "v1", "kind": "List", "items": [network(), A, B, policy()]}))
    write("custom.nft", "udp dport 53 accept\n")
    settings = write("settings.yaml", "custom-v4-ingress-rule-file: custom.nft\n")
    ends = ("--from", "demo/b", "--to", "demo/a")
    said = "custom rules come first and cannot be judged offline: they may decide otherwise"
    assert said in mnp("explain", path, *ends, "--settings", settings).out
    assert said not in mnp("explain", path, "--from", "demo/a", "--to", "demo/b", "--settings", settings).out
    assert said not in mnp("explain", path, *ends).out
    answer = json.loads(mnp("explain", path, *ends, "--settings", settings, "-o", "json").out)
    assert answer["explanations"][0]["ingress"]["custom-rules"] is True


# --- unenforceable interfaces
# ------------------------------------------------------------------------------------

MACVTAP = {"type": "macvtap", "mtu": 1500}


@pytest.mark.parametrize(
    "config",
    [
        MACVTAP,
        {"plugins": [{"type": "macvtap"}, {"type": "tuning"}]},
        {"plugins": [{"type": "tuning"}, MACVTAP]},
        {"type": "ipvlan", "mode": "l3s", "master": "eth1"},
        {"plugins": [{"type": "ipvlan", "mode": "l3s", "master": "eth1"}]},
    ],
)
@pytest.mark.parametrize("direction", ["Ingress", "Egress"])
def test_interface_unenforceable_on_a_node_is_reported_and_open(ask, problems, config, direction):
    """S64: the answer is that of a node."""
    pods = [pod(name, networks=[{"name": "data", "ips": [f"10.10.0.{n}/24"]}]) for n, name in enumerate("ab", start=2)]
    objects = [network(**config), *pods, policy(policyTypes=[direction])]
    assert problems(objects) == {("Pod", "Unenforceable")}
    ends = ("--from", "demo/b", "--to", "demo/a") if direction == "Ingress" else ("--from", "demo/a", "--to", "demo/b")
    (found,) = ask("explain", objects, *ends)["explanations"]
    assert (found["verdict"], found[direction.lower()]["standing"]) == ("allowed", "unenforced")
    assert {p["verdict"] for p in ask("matrix", objects)["probes"]} == {"allowed"}


def test_an_attachment_that_no_policy_isolates_is_not_reported(problems):
    """S64: counted where a policy selects it."""
    objects = [network(**MACVTAP), network("other"), A, B, policy(policy_for="other")]
    assert problems(objects) == set()
