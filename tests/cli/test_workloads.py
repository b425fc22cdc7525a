"""Manifests of a repository: workloads instead of pods."""

import json

import pytest

from tests.cli.objects import DATA, A, B, network, policy

GROUPS = {"Job": "batch/v1", "CronJob": "batch/v1", "ReplicationController": "v1"}
KINDS = ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "Job", "CronJob")


def workload(kind, name, *, networks="data", ports=(), template=None, labels=None, **metadata):
    pod = template or {
        "metadata": {"labels": labels or {"app": name}, "annotations": {f"{DATA}networks": networks}},
        "spec": {"containers": [{"name": "c", "ports": [{"containerPort": port} for port in ports]}]},
    }
    spec = {"template": pod, "selector": {"matchLabels": {"app": name}}}
    return {
        "apiVersion": GROUPS.get(kind, "apps/v1"),
        "kind": kind,
        "metadata": {"name": name, "namespace": "demo"} | metadata,
        "spec": {"jobTemplate": {"spec": spec}} if kind == "CronJob" else spec,
    }


def verdicts(found):
    return {(each["from"], each["to"], each["port"]): each["verdict"] for each in found["probes"]}


@pytest.mark.parametrize("kind", KINDS)
def test_a_workload_counts_as_one_pod_with_labels_ports_and_networks_of_its_template(ask, kind):
    """S10, S20: by the template's labels."""
    rule = {"from": [{"podSelector": {"matchLabels": {"app": "b"}}}], "ports": [{"port": 8080}]}
    objects = [network(), workload(kind, "a", ports=[8080, 9090]), workload(kind, "b"), policy(ingress=[rule])]
    assert verdicts(ask("matrix", objects)) == {
        ("demo/a", "demo/b", 80): "allowed",
        ("demo/b", "demo/a", 8080): "allowed",
        ("demo/b", "demo/a", 9090): "denied",
    }


def test_every_offline_command_knows_workloads(ask, problems):
    objects = [network(), workload("Deployment", "a"), workload("Deployment", "b"), policy()]
    ends = ("--from", "demo/b", "--to", "demo/a")
    assert [each["verdict"] for each in ask("explain", objects, *ends)["explanations"]] == ["denied"]
    assert (problems(objects), problems(objects, "hint")) == (set(), set())


def test_without_a_network_definition_selectors_decide(ask):
    """Definitions are often in another repository."""
    peer = {"podSelector": {"matchLabels": {"app": "b"}}}
    objects = [workload("Deployment", name) for name in "abc"] + [policy(ingress=[{"from": [peer]}])]
    found = verdicts(ask("matrix", objects, "--to", "demo/a"))
    assert found == {("demo/b", "demo/a", 80): "allowed", ("demo/c", "demo/a", 80): "denied"}


@pytest.mark.parametrize(
    "metadata",
    [{"uid": "1-2"}, {}, {"ownerReferences": [{"kind": "Deployment", "name": "a", "controller": True}]}],
)
def test_a_workload_whose_pods_are_there_is_not_counted_twice(ask, metadata):
    owned = "ownerReferences" in metadata
    labels = {"app": "other" if owned else "a"}  # a ReplicaSet that a Deployment has scaled down has no pods
    objects = [network(), A, B, workload("ReplicaSet", "a-7f9", labels=labels, **metadata)]
    assert verdicts(ask("matrix", objects)).keys() == {("demo/a", "demo/b", 80), ("demo/b", "demo/a", 80)}


def test_workloads_of_one_name_differ_by_kind(ask):
    objects = [network(), workload("Deployment", "a"), workload("Job", "a"), workload("Job", "b")]
    ends = {each["to"] for each in ask("matrix", objects)["probes"]}
    assert ends == {"demo/a.deployment", "demo/a.job", "demo/b"}


def test_network_status_in_a_template_is_not_believed(ask):
    odd = workload("Deployment", "a")
    status = [{"name": "demo/data", "interface": "net1", "ips": ["10.10.0.77"]}]
    odd["spec"]["template"]["metadata"]["annotations"][f"{DATA}network-status"] = json.dumps(status)
    assert {each["address"] for each in ask("matrix", [network(), odd, B], "--to", "demo/a")["probes"]} == {"10.10.0.2"}


@pytest.mark.parametrize("template", ["x", ["x"], 7])
def test_a_malformed_template_is_reported_and_harms_no_other(ask, template):
    """S6."""
    objects = [network(), A, B, policy(), workload("Deployment", "odd", template=template)]
    (report,) = ask("validate", objects, status=1)["reports"]
    assert (report["kind"], report["name"], report["field"]) == ("Deployment", "demo/odd", "spec.template")
    assert verdicts(ask("matrix", objects))["demo/b", "demo/a", 80] == "denied"


@pytest.mark.parametrize(
    "template",
    [
        {"metadata": "x"},
        {"metadata": {"labels": {"app": 7}, "annotations": []}, "spec": None},
        {"metadata": {"labels": ["x"], "annotations": {f"{DATA}networks": 7}}, "spec": {"containers": "x"}},
        {"metadata": {"annotations": {f"{DATA}networks": "[{"}}},
    ],
)
def test_malformed_fields_of_a_template_harm_no_other(ask, template):
    """S6."""
    objects = [network(), A, B, policy(), workload("Deployment", "odd", template=template)]
    assert verdicts(ask("matrix", objects))["demo/b", "demo/a", 80] == "denied"
    assert {report["kind"] for report in ask("validate", objects)["reports"]} <= {"Deployment"}
