"""Parsers are total: an object and reports, or InputError for a name, and nothing else."""

import json
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnp_core.errors import InputError
from mnp_core.model import ANY_PEER, ANY_PORT, NOTHING, PodPeer, Report
from mnp_core.model.parsing import (
    NETWORK_STATUS,
    POLICY_FOR,
    parse_namespace,
    parse_network,
    parse_pod,
    parse_policy,
)
from mnp_core.testing.suites.differential.profile import in_proportion

PARSERS = (parse_policy, parse_pod, parse_namespace, parse_network)
STATUS = [{"name": "ns/net", "interface": "net1", "ips": ["10.0.0.1"], "mac": "02:00:00:00:00:01",
           "device-info": {"type": "pci", "pci": {"pci-address": "0000:00:00.0"}}, "default": False}]  # fmt: skip
OTHER_WORDS = ["In", "NotIn", "Exists", "Ingress", "TCP", "10.0.0.0/8", "::/0", "ns/net", "http", "", "Always"]


def selector():
    return {"matchLabels": {"app": "web"}, "matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}]}


def rule(peers):
    return {
        peers: [
            {"podSelector": selector(), "namespaceSelector": selector()},
            {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}},
        ],
        "ports": [{"protocol": "TCP", "port": 80, "endPort": 90}, {"port": "http"}],
    }


def valid():
    """An object that makes sense to each of the parsers."""
    container = {"ports": [{"name": "http", "containerPort": 80}], "restartPolicy": "Always"}
    return {
        "metadata": {
            "name": "x",
            "namespace": "ns",
            "labels": {"app": "web"},
            "annotations": {POLICY_FOR: "net, ns/net", NETWORK_STATUS: json.dumps(STATUS)},
        },
        "spec": {
            "podSelector": selector(),
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [rule("from")],
            "egress": [rule("to")],
            "config": json.dumps({"plugins": [{"type": "macvlan"}]}),
            "containers": [container],
            "initContainers": [container],
        },
        "status": {"phase": "Running"},
    }


def places(value, path=()):
    """The path of every value inside."""
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield (*path, key)
        yield from places(child, (*path, key))


PLACES = list(places(valid()))
WORDS = sorted({key for path in PLACES for key in path if isinstance(key, str)}) + OTHER_WORDS
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(0, 65536),
    st.floats(),
    st.text(max_size=20),
    st.text(st.characters(categories=["Cs", "Cc", "Cf"]), max_size=5),  # surrogates, control and format characters
    st.binary(max_size=3),
    st.sampled_from(WORDS),
)
KEYS = st.one_of(st.sampled_from(WORDS), SCALARS)
JUNK = st.recursive(
    SCALARS,
    lambda children: st.one_of(st.lists(children, max_size=4), st.dictionaries(KEYS, children, max_size=4)),
    max_leaves=12,
)


def with_junk(changes):
    """A valid object with some of its parts replaced, as far as they are still there."""
    raw = valid()
    for path, junk in changes:
        target = raw
        with suppress(KeyError, IndexError, TypeError):
            for key in path[:-1]:
                target = target[key]
            target[path[-1]] = junk
    return raw


def check(parse, raw):
    """Parse it, and check the invariants of every result."""
    try:
        parsed, reports = parse(raw)
    except InputError as error:
        assert error.field in {"metadata.name", "metadata.namespace"}  # noqa: PT017 # any other error is let through
        return None
    assert all(isinstance(report, Report) for report in reports)
    assert all(len(str(report)) < 1200 and str(report).isprintable() for report in reports)
    if parse in (parse_policy, parse_network):
        hash(parsed)  # policies are looked up by content
    return parsed


@settings(max_examples=in_proportion(300), deadline=None)
@given(raw=JUNK)
def test_junk_is_read_or_refused(raw):
    """S6."""
    for parse in PARSERS:
        check(parse, raw)


@settings(max_examples=in_proportion(500), deadline=None)
@given(changes=st.lists(st.tuples(st.sampled_from(PLACES), JUNK), min_size=1, max_size=4))
def test_junk_inside_of_an_object_is_reported(changes):
    """S6."""
    for parse in PARSERS:
        check(parse, with_junk(changes))


@settings(max_examples=in_proportion(200), deadline=None)
@given(status=JUNK.filter(lambda value: not isinstance(value, bytes)))
def test_junk_inside_of_an_annotation_is_reported(status):
    """S3, S6."""
    raw = valid()
    raw["metadata"]["annotations"][NETWORK_STATUS] = json.dumps(status, default=repr, skipkeys=True)
    raw["spec"]["config"] = raw["metadata"]["annotations"][NETWORK_STATUS]
    for parse in PARSERS:
        check(parse, raw)


RULE_PLACES = [path for path in PLACES if path[:3] == ("spec", "ingress", 0) and len(path) > 3]


@settings(max_examples=in_proportion(300), deadline=None)
@given(path=st.sampled_from(RULE_PLACES), junk=JUNK)
def test_nothing_wrong_in_a_rule_makes_it_a_rule_for_everybody(path, junk):
    """S12, S13: only a missing field, null or `[]` means everything."""
    raw = with_junk([(path, junk)])
    (rule,) = parse_policy(raw)[0].ingress
    written = raw["spec"]["ingress"][0]
    assert (rule.peers == ANY_PEER) is (written["from"] is None or written["from"] == [])
    assert (rule.ports == ANY_PORT) is (written["ports"] is None or written["ports"] == [])


def endless():
    """A list that holds itself, as YAML anchors can make it."""
    value = []
    value.append(value)
    return value


def deep(kind, depth=10_000):
    value = "end"
    for _ in range(depth):
        value = (
            [value] if kind == "list" else {"podSelector": value, "from": value} if kind == "mapping" else [{"": value}]
        )
    return value


HOSTILE = {
    "endless": endless(),
    "deep list": deep("list"),
    "deep mapping": deep("mapping"),
    "deep both": deep("both"),
    "huge number": 10**10_000,
    "much text": "x" * 10_000_000,
    "many keys": {f"key{number}": number for number in range(20_000)},
    "many elements": [None] * 20_000,
    "not a number": float("nan"),
}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", HOSTILE)
def test_size_and_depth_are_no_danger(name):
    """S6: every part of an object in turn is replaced by something monstrous."""
    for path in PLACES:
        raw = with_junk([(path, HOSTILE[name])])
        for parse in PARSERS:
            check(parse, raw)


def test_ten_megabytes_of_labels_are_labels():
    labels = {f"label-{number}": "x" * 50 for number in range(150_000)}
    raw = valid()
    raw["metadata"]["labels"] = labels
    pod, reports = parse_pod(raw)
    assert (len(pod.labels), reports) == (150_000, ())


def test_lone_surrogates_in_selectors_are_text_that_nothing_has():
    raw = valid()
    raw["spec"]["ingress"][0]["from"] = [{"podSelector": {"matchLabels": {"\ud800": "\udfff"}}}]
    (peer,) = parse_policy(raw)[0].ingress[0].peers
    assert isinstance(peer, PodPeer)
    assert peer.pod_selector != NOTHING
    assert not peer.pod_selector.matches({"app": "web"})
