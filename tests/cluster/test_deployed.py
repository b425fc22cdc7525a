"""The webhook and the aggregator as Deployments of deploy/kustomize, with the image of this checkout."""

import json
import subprocess
import urllib.request
from itertools import count

import pytest
import yaml

from scripts.testbed import place
from tests.cluster.definitions import OURS, define, undefine_all
from tests.cluster.deployment import deployed, log, may, on_bed, routed
from tests.cluster.manifests import from_pods, pod, policy
from tests.cluster.nodeagent import environment

SUMMARIES = place.CHECKOUT / "deploy/nodepolicysummaries.yml"
WEBHOOK_PORT, WEBHOOK_HEALTH, AGGREGATOR_HEALTH = map(on_bed, (9443, 9471, 9470))
KIND = "k8s.cni.cncf.io/v1beta1/MultiNetworkPolicy"
PATIENCE = 120  # seconds; an aggregator waits a minute for nodes that lag behind
POLICIES = "multi-networkpolicies.k8s.cni.cncf.io"  # kubectl 1.20 knows short names no younger than ten minutes
READERS = ("pods", "namespaces", POLICIES)


def kubectl(*words, wanted=None):
    sent = None if wanted is None else json.dumps(wanted)
    command = ["kubectl", *map(str, words)]
    return subprocess.run(
        command, env=environment(), input=sent, capture_output=True, text=True, timeout=2 * PATIENCE, check=False
    )


def page(port, path):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
        return answer.read().decode()


def is_old(objects):
    """Whether the API server has no ValidatingAdmissionPolicies."""
    return int(objects.request("GET", "/version")["minor"].rstrip("+")) < 30


# --- the aggregator -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def aggregator(bed, node_agent):
    """With an agent that publishes its summary."""
    for file in (OURS, SUMMARIES):
        define(bed.objects, file)
    try:
        with deployed(bed.objects, "status", old=is_old(bed.objects)):
            node_agent.deploy(settings={"publish-status": True, "publish-interval-seconds": 1})
            yield bed
    finally:
        node_agent.remove()
        undefine_all(bed.objects)
        name = yaml.safe_load(SUMMARIES.read_text())["metadata"]["name"]
        bed.objects.delete("apiextensions.k8s.io/v1/CustomResourceDefinition", name)


def condition(objects, scene, name, kind):
    found = objects.get(KIND, name, scene.namespace).get("status", {}).get("conditions", ())
    return next(((each["status"], each["reason"]) for each in found if each["type"] == kind), None)


def test_conditions_tell_what_the_nodes_kernel_does(aggregator, scene, figures):
    """`Enforced` once the rules are in force on the node, with counts."""
    scene.run(*(pod(name, "red", labels={"app": name}) for name in ("web", "client", "stranger")))
    scene.apply(policy("close", "red", {"app": "web"}, ingress=[from_pods({"port": 80}, app="client")]))
    scene.apply(policy("idle", "red", {"app": "nothing"}))
    named = ("--namespace", scene.namespace)
    waited = kubectl("wait", *named, "--for=condition=Enforced", f"{POLICIES}/close", f"--timeout={PATIENCE}s")
    assert waited.returncode == 0, waited.stderr + log("mnp-aggregate")
    scene.becomes("web client stranger", denied="stranger>web")
    status = aggregator.objects.get(KIND, "close", scene.namespace)["status"]
    assert (status["nodes"], status["interfaces"], status["observedGeneration"]) == ("1/1", 1, 1)
    assert condition(aggregator.objects, scene, "close", "Accepted")[0] == "True"
    assert condition(aggregator.objects, scene, "close", "Enforced") == ("True", "Enforced")
    aggregator.objects.wait_for(
        "a policy without pods has a status",
        lambda: condition(aggregator.objects, scene, "idle", "Enforced") == ("True", "NothingSelected"),
        patience=PATIENCE,
    )
    head, line = kubectl("get", *named, POLICIES, "close").stdout.splitlines()
    assert head.split()[:6] == ["NAME", "NETWORKS", "TYPES", "ACCEPTED", "ENFORCED", "NODES"]
    assert "1/1" in line.split()
    figures.append(f"status of a policy on one node: {status}")


def test_a_part_without_effect_and_a_change_are_told(aggregator, scene):
    scene.run(pod("web", "red", labels={"app": "web"}))
    scene.apply(policy("odd", "red", {"app": "web"}, ingress=[{"ports": [{"port": 80, "endPort": 7}]}]))
    objects = aggregator.objects

    def has(generation, enforced):
        status = objects.get(KIND, "odd", scene.namespace).get("status", {})
        return (
            status.get("observedGeneration") == generation
            and condition(objects, scene, "odd", "Enforced") == enforced
            and status
        )

    objects.wait_for("it is enforced", lambda: has(1, ("True", "Enforced")), patience=PATIENCE)
    assert condition(objects, scene, "odd", "Accepted")[0] == "False"
    audit = {"metadata": {"annotations": {"mnp.k8s.cni.cncf.io/enforcement": "audit"}}, "spec": {"ingress": []}}
    objects.patch(KIND, "odd", audit, scene.namespace)
    objects.wait_for("it is in audit mode", lambda: has(2, ("False", "Audited")), patience=PATIENCE)
    assert condition(objects, scene, "odd", "Accepted")[0] == "True"


def test_the_aggregators_rights_are_those_that_it_uses(aggregator):
    assert aggregator
    assert "forbidden" not in log("mnp-aggregate").lower()
    assert "mnp_aggregate_leading 1.0" in page(AGGREGATOR_HEALTH, "/metrics")
    policies, summaries = POLICIES, "nodepolicysummaries.mnp.k8s.cni.cncf.io"
    assert may("mnp-aggregate", "patch", policies, "--subresource=status", "--all-namespaces")
    assert may("mnp-aggregate", "delete", summaries)
    assert may("mnp-node", "patch", summaries)
    for question in (
        ("patch", policies),
        ("delete", policies),
        ("create", summaries),
        ("list", "pods"),
        ("list", "secrets"),
        ("get", "leases.coordination.k8s.io/other"),
        ("delete", "leases.coordination.k8s.io/mnp-aggregate"),
    ):
        assert not may("mnp-aggregate", *question), question
    assert not may("mnp-node", "delete", summaries)
    assert not may("mnp-node", "patch", policies, "--subresource=status")


# --- the webhook, last: it refuses the policy whose condition is tested above -----------------------------------------


@pytest.fixture(scope="module")
def webhook(bed, node_agent):
    assert node_agent  # its image is loaded
    define(bed.objects, OURS)
    try:
        with deployed(bed.objects, "webhook"), routed(bed.objects, "mnp-admit", WEBHOOK_PORT):
            yield bed
    finally:
        undefine_all(bed.objects)


def apply(scene, wanted):
    return kubectl("apply", "--namespace", scene.namespace, "--filename", "-", wanted=wanted)


def test_a_policy_for_a_network_that_is_not_there_is_refused(webhook, scene):
    numbers = count()

    def is_refused():
        ended = apply(scene, policy(f"typo-{next(numbers)}", "rde", {"app": "web"}))
        assert ended.returncode == 0 or "there is no network" in ended.stderr, ended.stderr + log("mnp-admit")
        return ended.returncode == 1

    webhook.objects.wait_for("the API server asks the webhook", is_refused, patience=PATIENCE)
    refused = apply(scene, policy("new", "rde", {"app": "web"}))
    assert f"policy-for]: there is no network {scene.namespace}/rde. Name an existing" in refused.stderr
    assert "(UnknownNetwork)" in refused.stderr
    assert webhook.objects.find(KIND, "new", scene.namespace) is None
    stored = apply(scene, policy("good", "red", {"app": "web"}))
    assert stored.returncode == 0, stored.stderr + log("mnp-admit")
    assert "Warning: spec.podSelector: " in stored.stderr, "it selects nothing yet"
    assert "mnp_admission_registered 1.0" in page(WEBHOOK_HEALTH, "/metrics")
    assert "mnp_admission_sees_cluster 1.0" in page(WEBHOOK_HEALTH, "/metrics")


def test_a_port_that_nobody_serves_is_warned_of(webhook, scene):
    scene.run(pod("web", "red", labels={"app": "web"}))
    ended = apply(scene, policy("ports", "red", {"app": "web"}, ingress=[{"ports": [{"port": "metrics"}]}]))
    assert ended.returncode == 0, ended.stderr
    assert "Warning: spec.ingress[0].ports: no pod concerned has a TCP port named 'metrics'" in ended.stderr
    assert webhook.objects.get(KIND, "ports", scene.namespace)


def test_the_webhooks_rights_are_those_that_it_uses(webhook):
    assert webhook
    assert "forbidden" not in log("mnp-admit").lower()
    for kind in (*READERS, "network-attachment-definitions.k8s.cni.cncf.io"):
        assert may("mnp-admit", "watch", kind, "--all-namespaces"), kind
        assert not may("mnp-admit", "patch", kind), kind
    assert may("mnp-admit", "patch", "secrets/mnp-admit")
    for question in (
        ("get", "secrets/other"),
        ("list", "secrets"),
        ("create", "secrets"),
        ("get", "nodes"),
        ("create", "pods", "--subresource=exec"),
        ("create", "validatingwebhookconfigurations.admissionregistration.k8s.io"),
        ("patch", "validatingwebhookconfigurations.admissionregistration.k8s.io/other"),
    ):
        assert not may("mnp-admit", *question), question
