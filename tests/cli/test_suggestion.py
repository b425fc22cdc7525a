"""Suggested policies open the flows that were seen and nothing else; records of any kind do no harm."""

import json
from ipaddress import ip_address
from itertools import combinations, product

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mnp_core.model import Direction, LoggedVerdict, ObjectName, ObjectRef, Protocol
from mnp_core.netfilter.headers import Headers
from mnp_core.offline.suggestion import suggest
from mnp_core.telemetry.denied_packet import DeniedPacket, as_record

NETWORK = "shop/data"
PODS = {
    "shop/web": ("10.0.0.2", {"app": "web", "pod-template-hash": "5d9"}),
    "shop/db": ("10.0.0.3", {"app": "db"}),
    "shop/cron": ("10.0.0.4", {"app": "cron", "tier": "batch"}),
    "ops/probe": ("10.0.0.5", {"app": "probe"}),
}
PORTS = (("tcp", 80), ("udp", 53))


def packet(source, target, protocol, port, *, direction=Direction.INGRESS, known=True, **headers):
    """A packet that is denied by the rules of the one pod, from or to the other."""
    own, other = (target, source) if direction is Direction.INGRESS else (source, target)
    flags = {"flags": ("SYN",)} if protocol == "tcp" else {}
    return DeniedPacket(
        time=0.0,
        verdict=LoggedVerdict.DENIED,
        pod=ObjectName(*own.split("/")),
        labels=PODS[own][1],
        interface="net1",
        networks=(ObjectName("shop", "data"),),
        direction=direction,
        policies=(ObjectRef("MultiNetworkPolicy", ObjectName("shop", "close")),),
        headers=Headers(
            source=ip_address(PODS[source][0]),
            target=ip_address(PODS[target][0]),
            protocol=Protocol[protocol.upper()],
            length=60,
            source_port=40000,
            target_port=port,
            **{**flags, **headers},
        ),
        peer=ObjectName(*other.split("/")) if known else None,
        peer_labels=PODS[other][1] if known else {},
    )


def records(*packets):
    """As they come out of `mnp denied -o json`."""
    return [json.loads(json.dumps(as_record(each))) for each in packets]


def manifests():
    """Everything that both directions of these pods are denied."""
    yield {
        "apiVersion": "k8s.cni.cncf.io/v1",
        "kind": "NetworkAttachmentDefinition",
        "metadata": {"name": "data", "namespace": "shop"},
        "spec": {"config": json.dumps({"cniVersion": "1.0.0", "type": "macvlan"})},
    }
    for name, (address, labels) in PODS.items():
        namespace, own = name.split("/")
        status = [{"name": NETWORK, "interface": "net1", "ips": [address]}]
        yield {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": own,
                "namespace": namespace,
                "labels": labels,
                "annotations": {"k8s.v1.cni.cncf.io/network-status": json.dumps(status)},
            },
            "spec": {"nodeName": "n", "containers": [{"name": "c"}]},
        }
    for namespace in ("shop", "ops"):
        yield {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
    yield {
        "apiVersion": "k8s.cni.cncf.io/v1beta1",
        "kind": "MultiNetworkPolicy",
        "metadata": {
            "name": "close",
            "namespace": "shop",
            "annotations": {"k8s.v1.cni.cncf.io/policy-for": NETWORK},
        },
        "spec": {"podSelector": {}, "policyTypes": ["Ingress"]},
    }


@pytest.fixture
def opened(mnp, tmp_path):
    """The flows that policies open beside the manifests, by `mnp diff`: source, target, probe."""
    old, new = tmp_path / "old", tmp_path / "new"
    for folder in (old, new):
        folder.mkdir()
        (folder / "all.yaml").write_text(yaml.safe_dump_all(manifests()))

    def ask(policies):
        (new / "suggested.yaml").write_text(yaml.safe_dump_all(policies))
        probes = [word for protocol, port in PORTS for word in ("--probe", f"{protocol}:{port}")]
        ended = mnp("diff", str(old), str(new), "-o", "json", *probes)
        assert ended.status == 0, ended.err
        return ended.out

    return ask


FLOWS = [
    (source, target, protocol, port)
    for source, target in product(PODS, PODS)
    for protocol, port in PORTS
    if source != target and target.startswith("shop/")
]


@pytest.mark.parametrize("seen", [*combinations(FLOWS[::5], 1), *combinations(FLOWS[::4], 3), FLOWS[:1] + FLOWS[7:9]])
def test_the_seen_flows_open_and_no_others(seen, opened):
    """By `evaluate`, over every pair of pods and every probe."""
    found = suggest(records(*(packet(*flow) for flow in seen)))
    assert found.packets == len(seen)
    assert flows_of(json.loads(opened(found.policies))) == set(seen)


def flows_of(difference):
    """Groups of pods as single pairs, and each opened probe."""
    return {
        (source, target, *number(probe))
        for change in difference["changes"]
        for source, target, probe in product(change["from"], change["to"], change["opened"])
    }


def number(probe):
    protocol, port = probe.split(":")
    return protocol, int(port)


def test_an_unknown_peer_is_one_address(opened):
    """A pod that the node does not know is an address like any other."""
    (policy,) = suggest(records(packet("ops/probe", "shop/web", "tcp", 80, known=False))).policies
    assert policy["spec"]["ingress"][0]["from"] == [{"ipBlock": {"cidr": "10.0.0.5/32"}}]
    assert flows_of(json.loads(opened([policy]))) == {("ops/probe", "shop/web", "tcp", 80)}


def test_egress_is_allowed_from_the_pod_that_was_denied():
    (policy,) = suggest(records(packet("shop/db", "ops/probe", "udp", 53, direction=Direction.EGRESS))).policies
    assert policy["spec"] == {
        "podSelector": {"matchLabels": {"app": "db"}},
        "policyTypes": ["Egress"],
        "egress": [
            {
                "to": [
                    {
                        "podSelector": {"matchLabels": {"app": "probe"}},
                        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ops"}},
                    }
                ],
                "ports": [{"protocol": "UDP", "port": 53}],
            }
        ],
    }


def test_packets_that_no_policy_can_name_are_counted():
    left_out = suggest(
        [
            *records(
                packet("shop/db", "shop/web", "icmp", None, kind=8, code=0),
                packet("shop/db", "shop/web", "tcp", 80, flags=("ACK",)),
                packet("shop/db", "shop/web", "udp", None),
            ),
            "no packet",
        ]
    ).left_out
    assert sorted(left_out.values()) == [1, 1, 1, 1]
    assert [words for reason in sorted(left_out) for words in ("ICMP", "ports", "flow", "records") if words in reason]


PLAIN = records(packet("shop/db", "shop/web", "tcp", 80))[0]
junk = st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.lists(st.text(max_size=5), max_size=3)


@given(st.dictionaries(st.sampled_from(sorted(PLAIN)), junk, max_size=4), junk)
def test_records_of_any_kind_do_no_harm(changes, other):
    """Those that cannot be understood are counted, and the others are used."""
    found = suggest([{**PLAIN, **changes}, other, PLAIN])
    assert found.packets + sum(found.left_out.values()) == 3
    assert PLAIN["pod"].startswith(found.policies[0]["metadata"]["namespace"]) or len(found.policies) > 1
    assert list(yaml.safe_load_all(yaml.safe_dump_all(found.policies))) == list(found.policies)


# --- the command ----------------------------------------------------------------------------------------------------


def test_policies_are_printed_for_review_and_are_valid(mnp, tmp_path):
    seen = tmp_path / "denied.jsonl"
    seen.write_text("\n".join(map(json.dumps, records(*(packet(*flow) for flow in FLOWS[:4]), packet(*FLOWS[0])))))
    ended = mnp("denied", "--suggest", "--input", seen)
    assert (ended.status, ended.err) == (0, "")
    assert "review before use" in ended.out
    folder = tmp_path / "manifests"
    folder.mkdir()
    (folder / "all.yaml").write_text(yaml.safe_dump_all(manifests()))
    (folder / "suggested.yaml").write_text(ended.out)
    assert mnp("validate", folder).status == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--suggest", "--follow"], "leave one of them out"),
        (["--suggest", "-o", "json"], "leave --output out"),
        (["--input", "{seen}"], "--input is for --suggest"),
        (["--suggest", "--input", "{missing}"], "No such file"),
        (["--suggest", "--input", "{seen}"], "line 1: is no JSON"),
        (["-n", "No_Name"], "is not the name of a namespace"),
        (["--pod", "a/b/c"], "a/b/c"),
        (["--socket", "{missing}"], "there is no such socket"),
    ],
)
def test_wrong_input_of_the_command(mnp, tmp_path, options, words):
    (tmp_path / "seen").write_text("no JSON\n")
    names = {"seen": tmp_path / "seen", "missing": tmp_path / "missing"}
    ended = mnp("denied", *(option.format(**names) for option in options))
    assert (ended.status, ended.out) == (2, "")
    assert words in ended.err
