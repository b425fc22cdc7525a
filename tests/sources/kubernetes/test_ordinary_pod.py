"""Pods that are decoded straight into their types: the same pods as those of the parser."""

import copy

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnp_core.model.parsing import parse_pod
from mnp_core.sources.kubernetes.codec import read_object
from mnp_core.sources.kubernetes.ordinary_pod import read_ordinary_pod
from mnp_core.sources.kubernetes.store import PodStore

STATUS = "k8s.v1.cni.cncf.io/network-status"
OF_OLD = "k8s.v1.cni.cncf.io/networks-status"
NETWORKS = "k8s.v1.cni.cncf.io/networks"
DEFAULT = "v1.multus-cni.io/default-network"
MIRROR = "kubernetes.io/config.mirror"
WRITTEN = msgspec.json.encode(
    [
        {"name": "cbr0", "interface": "eth0", "ips": ["10.1.0.5"], "default": True, "dns": {}},
        {
            "name": "demo/net",
            "interface": "net1",
            "ips": ["10.2.0.5", "fd00::5"],
            "mac": "02:00:00:00:00:01",
            "dns": {},
        },
    ]
).decode()


def typical(**metadata):
    """A pod as an API server gives it."""
    container = {"name": "web", "image": "web", "ports": [{"name": "http", "containerPort": 80, "protocol": "TCP"}]}
    return {
        "metadata": {
            "name": "web-1",
            "namespace": "demo",
            "uid": "0e8a",
            "resourceVersion": "7",
            "labels": {"app": "web"},
            "annotations": {STATUS: WRITTEN, NETWORKS: "net", "other": "1"},
            **metadata,
        },
        "spec": {"nodeName": "node-1", "containers": [container], "hostNetwork": False},
        "status": {"phase": "Running", "podIP": "10.1.0.5", "podIPs": [{"ip": "10.1.0.5"}]},
    }


def with_spec(**spec):
    found = typical()
    found["spec"] |= spec
    return found


ORDINARY = {
    "attached": typical(),
    "without annotations": typical(annotations=None),
    "without labels": typical(labels=None),
    "about to end": typical(deletionTimestamp="2026-01-01T00:00:00Z"),
    "with status of an old meta-plugin": typical(annotations={OF_OLD: WRITTEN}),
    "with both": typical(annotations={OF_OLD: WRITTEN, STATUS: ""}),
    "with another default network": typical(annotations={DEFAULT: "net"}),
    "static": typical(annotations={MIRROR: "0e8b"}),
    "with a sidecar": with_spec(initContainers=[{"restartPolicy": "Always", "ports": [{"containerPort": 81}]}]),
    "with an init container": with_spec(initContainers=[{"ports": [{"containerPort": 81}]}]),
    "privileged": with_spec(containers=[{"securityContext": {"privileged": True}}]),
    "with NET_ADMIN": with_spec(
        ephemeralContainers=[{"securityContext": {"capabilities": {"add": ["cap_net_admin"]}}}]
    ),
    "with another capability": with_spec(containers=[{"securityContext": {"capabilities": {"add": ["NET_RAW"]}}}]),
    "on the host's network": with_spec(hostNetwork=True),
    "without a node": with_spec(nodeName=None, containers=None),
    "pending": {**typical(annotations={}), "status": {"phase": "Pending"}},
    "in an unknown phase": {**typical(), "status": {"phase": "Frozen"}},
}
ODD = {
    "a label that is a number": typical(labels={"app": 1}),
    "a name that is none": typical(name="Web"),
    "a port that is none": with_spec(containers=[{"ports": [{"containerPort": 0}]}]),
    "a port that is a truth": with_spec(containers=[{"ports": [{"containerPort": True}]}]),
    "a protocol in lower case": with_spec(containers=[{"ports": [{"containerPort": 80, "protocol": "tcp"}]}]),
    "a port with no name of a port": with_spec(containers=[{"ports": [{"containerPort": 80, "name": "A B"}]}]),
    "containers that are no list": with_spec(containers={}),
    "a status that is no JSON": typical(annotations={STATUS: "{"}),
    "a status with a wrong address": typical(annotations={STATUS: '[{"name": "net", "interface": "n", "ips": ["x"]}]'}),
    "a request that is none": typical(annotations={NETWORKS: "a/b/c"}),
    "no status": {key: value for key, value in typical().items() if key != "status"},
}


def by_the_parser(raw):
    pod, reports = parse_pod(read_object(raw, "Pod"))
    return pod, reports


@pytest.mark.parametrize("what", ORDINARY)
def test_an_ordinary_pod_is_the_one_of_the_parser(what):
    raw = msgspec.json.encode(ORDINARY[what])
    found, _ = read_ordinary_pod(raw, "0e8a")
    assert (found, ()) == by_the_parser(raw)


@pytest.mark.parametrize("what", ODD)
def test_what_is_to_be_reported_is_left_to_the_parser(what):
    assert read_ordinary_pod(msgspec.json.encode(ODD[what]), "0e8a") is None


def paths(value, path=()):
    """Every place in an object."""
    yield path
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from paths(value[key], (*path, key))


def replaced(whole, path, value):
    if not path:
        return value
    changed = copy.copy(whole)
    changed[path[0]] = replaced(whole[path[0]], path[1:], value)
    return changed


SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
WORDS = st.sampled_from(["", "net", "demo/net", "Always", "[]", "[{}]", WRITTEN, " ", "TCP", "ALL", "Pending"])
VALUES = st.recursive(
    SCALARS | WORDS, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2)
)
CHANGES = st.tuples(st.sampled_from(sorted(ORDINARY)), st.randoms(use_true_random=False), VALUES)


@given(st.lists(CHANGES, min_size=1, max_size=1), st.lists(VALUES, max_size=2))
@settings(max_examples=300, deadline=None)
def test_with_anything_in_any_field_it_is_the_one_of_the_parser_or_none(changes, more):
    """S6: also what no API server lets through."""
    [(what, chance, value)] = changes
    whole = ORDINARY[what]
    for each in (value, *more):
        path = chance.choice([path for path in paths(whole) if path])
        whole = replaced(whole, path, each)
    raw = msgspec.json.encode(whole)
    metadata = whole["metadata"] if isinstance(whole["metadata"], dict) else {}
    found = read_ordinary_pod(raw, "0e8a")
    if found is not None:
        assert (found[0], ()) == by_the_parser(msgspec.json.encode({**whole, "metadata": {**metadata, "uid": "0e8a"}}))


def test_news_of_a_pod_are_those_that_are_read_of_it():
    store = PodStore("Pod", lambda _: None)

    def news(**changed):
        entry = store.read(msgspec.json.encode({**typical(**changed)}), "v1")
        changes = store.changes([entry])
        store.commit([entry])
        return [change.object.name.name for change in changes]

    assert news() == ["web-1"]
    assert news(resourceVersion="8", managedFields=[{}]) == []
    assert news(resourceVersion="9", labels={"app": "db"}) == ["web-1"]
    assert news(resourceVersion="10", labels={"app": "db"}, uid="0e8b") == ["web-1"]
