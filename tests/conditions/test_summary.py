"""Summaries in the API: what is written is read back, and what a hostile node writes is bounded."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnp_core.conditions import tokens
from mnp_core.conditions.summary import MOST_ENTRIES, NodeSummary, PolicyFault, State, bounded, decode, encode
from mnp_core.model import ObjectName

NAME = ObjectName("demo", "web")
TOKENS = st.integers(1, 2**64 - 1)
FAULTS = st.builds(
    PolicyFault,
    interfaces=st.integers(0, 500),
    state=st.sampled_from(State),
    reason=st.just("Refused"),
    message=st.just("demo/web: no"),
)
FIELDS = st.sampled_from(["knows", "enforced", "exceptions", "policy", "state", "omitted", "message"])
JSON = st.recursive(
    st.none() | st.integers() | st.text(max_size=20),
    lambda each: st.lists(each) | st.dictionaries(FIELDS, each),
    max_leaves=12,
)


def policy(spec, **annotations):
    metadata = {"namespace": "demo", "name": "web", "resourceVersion": "5", "annotations": annotations}
    return json.dumps({"metadata": metadata, "spec": spec}).encode()


@given(TOKENS, st.dictionaries(TOKENS, st.integers(0, 500), max_size=20), st.dictionaries(TOKENS, FAULTS, max_size=5))
@settings(max_examples=50, deadline=None)
def test_a_summary_is_read_as_it_was_written(knows, enforced, faults):
    summary = bounded(knows, {token: n for token, n in enforced.items() if token not in faults}, faults)
    assert decode(json.loads(json.dumps(encode(summary)))) == summary


@given(JSON)
@settings(max_examples=100, deadline=None)
def test_no_summary_of_a_hostile_node_raises(raw):
    found = decode(raw)
    assert found is None or isinstance(found, NodeSummary)


@pytest.mark.parametrize(
    "entry", ["", "=", "AAAAAAAAAAE=-1", "AAAAAAAAAAE=1e9", "AAAAAAAAAAE=9999999", "AAAA=1", "é=1", 7, None]
)
def test_entries_that_cannot_be_are_left_out(entry):
    assert decode({"knows": tokens.written(1), "enforced": [entry, "AAAAAAAAAAI=3"]}).enforced == {2: 3}


def test_lengths_and_control_characters_are_bounded():
    entry = {"policy": "AAAAAAAAAAI=999999", "state": "x", "reason": "r" * 999, "message": "a\n\x1b[2J" + "b" * 9999}
    found = decode({"knows": tokens.written(1), "exceptions": [entry] * 9999})
    assert found.faults[2].interfaces == 100_000
    assert found.faults[2].state is State.FAILED
    assert len(found.faults[2].reason) <= 40
    assert found.faults[2].message.isprintable()
    assert len(found.faults[2].message) <= 200


def test_faults_find_room_before_policies_in_force_and_the_rest_is_counted():
    fault = PolicyFault(interfaces=1, state=State.FAILED, reason="Refused", message="")
    summary = bounded(9, dict.fromkeys(range(1, MOST_ENTRIES + 1), 1), {2**60: fault, 2**61: fault})
    assert len(summary.faults) == 2
    assert len(summary.enforced) == MOST_ENTRIES - 2
    assert summary.omitted == 2
    assert len(json.dumps(encode(summary))) < 80_000


def test_a_token_follows_spec_and_meaningful_annotations_alone():
    key = "k8s.v1.cni.cncf.io/policy-for"
    token = tokens.policy_token(NAME, policy({"a": 1, "b": 2}, **{key: "red"}))
    assert token == tokens.policy_token(NAME, policy({"b": 2, "a": 1}, **{key: "red", "note": "x"}))
    others = [
        tokens.policy_token(NAME, policy({"a": 1}, **{key: "red"})),
        tokens.policy_token(NAME, policy({"a": 1, "b": 2}, **{key: "blue"})),
        tokens.policy_token(ObjectName("demo", "db"), policy({"a": 1, "b": 2}, **{key: "red"})),
        tokens.policy_token(NAME, policy({"a": 1, "b": 2}, **{key: "red", "mnp.k8s.cni.cncf.io/enforcement": "audit"})),
    ]
    assert len({token, *others}) == 5
    assert tokens.policy_token(NAME, b"[[[") != 0
