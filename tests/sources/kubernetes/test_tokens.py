"""Tokens and statuses in the store: the aggregator's writes are no news, and a token comes with each change."""

import json

from mnp_core.conditions.tokens import policy_token
from mnp_core.sources.decode import Decoder
from mnp_core.sources.kubernetes.store import Store


def policy(version, **more):
    metadata = {"namespace": "demo", "name": "web", "uid": "1", "resourceVersion": str(version), "generation": 1}
    return json.dumps({"metadata": metadata, "spec": {"podSelector": {}}, **more}).encode()


def read(store, raw):
    entry = store.read(raw, "k8s.cni.cncf.io/v1beta1")
    changes = store.changes([entry])
    store.commit([entry])
    return changes


def test_a_new_status_is_no_change_of_a_policy():
    store = Store("MultiNetworkPolicy", Decoder().decode, token=policy_token)
    [first] = read(store, policy(1))
    assert first.token
    assert read(store, policy(2, status={"nodes": "1/1"})) == []
    assert read(store, policy(3, status={"nodes": "1/2"})) == []
    [second] = read(store, policy(4, spec={"podSelector": {}, "policyTypes": ["Egress"]}))
    assert second.token not in {0, first.token}


def test_tokens_are_made_only_where_they_are_asked_for():
    [change] = read(Store("MultiNetworkPolicy", Decoder().decode), policy(1))
    assert change.token == 0


def test_a_status_of_a_pod_is_a_change():
    store = Store("Pod", Decoder().decode)
    assert read(store, policy(1, status={"phase": "Running"}))
    assert read(store, policy(2, status={"phase": "Failed"}))
