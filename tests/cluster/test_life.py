"""Pods, namespaces and networks come, change and go; packets show that policy follows."""

import json

import pytest

from mnp_core.netfilter.nf_tables import generation
from tests.cluster.manifests import (
    STATUS,
    container,
    definition,
    from_pods,
    network,
    network_status,
    pod,
    policy,
)
from tests.cluster.nodeagent import kubectl

pytestmark = pytest.mark.usefixtures("agent")

CLOSED = policy("closed", "red", {"app": "web"})
CLIENTS = policy("clients", "red", {"app": "web"}, ingress=[from_pods({"port": 80}, app="client")])
_POLICY = "k8s.cni.cncf.io/v1beta1/MultiNetworkPolicy"


def app(name, label=None, networks="red", **spec):
    return pod(name, networks, labels={"app": label or name}, **spec)


def test_policy_is_created_changed_and_deleted(scene):
    """S60, S61."""
    scene.run(app("web"), app("client"), app("stranger"))
    scene.becomes("web client stranger")
    scene.apply(CLOSED)
    scene.becomes("web client stranger", denied="client>web stranger>web")
    with scene.untouched("client", "stranger"):
        scene.apply(CLIENTS)
        scene.becomes("web client stranger", denied="stranger>web")
        scene.apply(policy("clients", "red", {"app": "web"}, ingress=[from_pods({"port": 80}, app="stranger")]))
        scene.becomes("web client stranger", denied="client>web")
        scene.delete("clients", kind=_POLICY)
        scene.becomes("web client stranger", denied="client>web stranger>web")
        scene.delete("closed", kind=_POLICY)
        scene.becomes("web client stranger")


def test_labels_of_pods_change(scene):
    """S61: a peer's, and those that a policy selects by."""
    scene.run(app("web"), app("client"), app("stranger"), app("other"))
    scene.apply(CLIENTS)
    scene.becomes("web client stranger", denied="stranger>web")
    with scene.untouched("client", "stranger", "other"):
        scene.relabel("stranger", app="client")
        scene.becomes("web client stranger")
        scene.relabel("client", app=None)
        scene.becomes("web client stranger", denied="client>web")
    with scene.untouched("client", "stranger"):
        scene.relabel("other", app="web")
        scene.becomes("web client stranger other", denied="client>web client>other web>other other>web")
        scene.relabel("web", app="free")
        scene.becomes("web client stranger other", denied="client>other web>other")


def test_pods_come_and_go(scene):
    """S61: new members are let in, removed ones leave no rules, and other pods' rules stay untouched."""
    scene.run(app("web"), app("stranger"), app("free"))
    scene.apply(CLIENTS)
    scene.becomes("web stranger", denied="stranger>web")
    with scene.untouched("stranger", "free"):
        for name in ("one", "two"):
            scene.run(app(name, "client"))
            scene.becomes(f"web stranger {name}", denied="stranger>web")
        scene.delete("one")
        scene.becomes("web stranger two", denied="stranger>web")
    scene.run(app("later", "web"))
    scene.becomes("web stranger two later", denied="stranger>web stranger>later later>web web>later")


def test_pods_that_crash_all_the_time_are_enforced_and_are_peers(scene):
    """The sandbox outlives its containers, and rules are in the sandbox."""
    crash = {"containers": [container("main", ["false"])]}
    scene.run(app("web"), app("stranger"))
    scene.apply(CLIENTS, app("weak", "web", **crash), app("client", **crash))
    wait_for_restarts(scene, "weak", 1)
    wait_for_restarts(scene, "client", 1)
    scene.becomes("web stranger weak client", denied="stranger>web stranger>weak weak>web web>weak")
    with scene.untouched("web", "weak", "client", "stranger"):
        wait_for_restarts(scene, "weak", 2)
        scene.becomes("web stranger weak client", denied="stranger>web stranger>weak weak>web web>weak")


def wait_for_restarts(scene, name, count):
    def restarted(found):
        statuses = found["status"].get("containerStatuses", [])
        return any(status["restartCount"] >= count for status in statuses)

    scene.objects.wait_until("v1/Pod", name, restarted, scene.namespace, patience=90)


def test_init_containers_are_enforced(scene):
    """S5: a pod is a target and a peer while it is Pending, as soon as it has its interfaces."""
    wait = container("init", ["sh", "-c", "until [ -e /root/go ]; do sleep 0.1; done"])
    scene.run(app("web"), app("stranger"))
    scene.apply(CLIENTS, app("starting", "web", initContainers=[wait]), app("client", initContainers=[wait]))
    for name in ("starting", "client"):
        scene.objects.wait_until("v1/Pod", name, init_runs, scene.namespace)
    denied = "stranger>web stranger>starting starting>web web>starting"
    scene.becomes("web stranger starting client", denied=denied)
    for name in ("starting", "client"):
        assert scene.pod(name)["status"]["phase"] == "Pending"
    with scene.untouched("web", "starting"):
        for name in ("starting", "client"):
            kubectl("--namespace", scene.namespace, "exec", name, "--container=init", "--", "touch", "/root/go")
            scene.wait_until_runs(name)
        scene.becomes("web stranger starting client", denied=denied)


def init_runs(found):
    return any("running" in each["state"] for each in found["status"].get("initContainerStatuses", ()))


def test_namespace_is_relabelled(scene, other_namespace):
    """S20, S61."""
    scene.objects.apply(app("guest", networks=f"{scene.namespace}/red"), other_namespace)
    scene.run(app("web"), app("client"))
    scene.objects.wait_until("v1/Pod", "guest", network_status, other_namespace)
    guest = f"{other_namespace}/guest"
    teams = [{"namespaceSelector": {"matchLabels": {"team": "a"}}}]
    scene.apply(policy("teams", "red", {"app": "web"}, ingress=[{"from": teams}]))
    scene.becomes(f"web client {guest}", denied=f"client>web {guest}>web")
    with scene.untouched("client"):
        label_namespace(scene, other_namespace, "a")
        scene.becomes(f"web client {guest}", denied="client>web")
        label_namespace(scene, other_namespace, "b")
        scene.becomes(f"web client {guest}", denied=f"client>web {guest}>web")
        label_namespace(scene, scene.namespace, "a")
        scene.becomes(f"web client {guest}", denied=f"{guest}>web")


def label_namespace(scene, name, team):
    scene.objects.patch("v1/Namespace", name, {"metadata": {"labels": {"team": team}}})


def test_network_definition_that_is_not_there_opens_nothing(scene, agent):
    """A pod is enforced by the interface's name until its network is known, and nothing changes then.

    The meta-plugin needs the definition to attach a pod, so it is deleted afterwards; agents see no difference.
    """
    scene.run(app("web"), app("client"), app("stranger"))
    scene.delete("red", kind="k8s.cni.cncf.io/v1/NetworkAttachmentDefinition")
    scene.apply(CLIENTS)
    scene.becomes("web client stranger", denied="stranger>web")
    scene.objects.wait_for("it is reported", lambda: agent.metric("mnp_reports") > 0)
    with scene.untouched("client", "stranger"):
        scene.apply(network("red", "10.77.1.0/24"))
        scene.objects.wait_for("nothing is reported any more", lambda: agent.metric("mnp_reports") == 0)
        scene.becomes("web client stranger", denied="stranger>web")


def test_network_definition_appears_that_no_plugin_claims(scene, agent):
    """S64: it is said, where no policy is enforced."""
    scene.run(app("web"), app("client"), app("stranger"))
    scene.apply(CLIENTS)
    scene.becomes("web client stranger", denied="stranger>web")
    scene.apply(definition("red", {"cniVersion": "0.4.0", "name": "red", "type": "userspace"}))
    scene.objects.wait_for("it is counted", lambda: agent.metric("mnp_unenforceable_attachments") > 0, patience=45)
    scene.becomes("web client stranger")
    scene.apply(network("red", "10.77.1.0/24"))
    scene.becomes("web client stranger", denied="stranger>web")
    scene.objects.wait_for("it is over", lambda: agent.metric("mnp_unenforceable_attachments") == 0)


def test_deployment_is_scaled(scene):
    """S61."""
    scene.run(app("web"), app("stranger"))
    scene.apply(CLIENTS, workload("Deployment", "client"))
    with scene.untouched("stranger"):
        for replicas in (1, 4, 2):
            clients = scaled(scene, "client", replicas)
            scene.becomes(f"web stranger {' '.join(clients)}", denied="stranger>web")


def scaled(scene, name, replicas):
    """The names of a Deployment's pods, which are so many, and attached; those that are ending are left out."""

    def pods():
        found = scene.objects.list("v1/Pod", scene.namespace, labels=f"app={name}")
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    scene.objects.patch("apps/v1/Deployment", name, {"spec": {"replicas": replicas}}, scene.namespace)
    scene.objects.wait_for(
        f"{replicas} pods", lambda: len(pods()) == replicas and all(map(network_status, pods())), patience=90
    )
    return [found["metadata"]["name"] for found in pods()]


def workload(kind, name, **spec):
    template = {key: value for key, value in app(name).items() if key in ("metadata", "spec")}
    del template["metadata"]["name"]
    selector = {"matchLabels": {"app": name}}
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": {"selector": selector, "template": template, **spec},
    }


def test_pod_of_a_stateful_set_is_made_anew_under_its_name(scene):
    """S61: it is another sandbox, and both ways it is enforced."""
    scene.run(app("client"), app("stranger"))
    scene.apply(CLIENTS, workload("StatefulSet", "web", serviceName="web"))
    for _ in range(2):
        scene.objects.wait_for("web-0 is attached", lambda: is_attached(scene, "web-0"))
        scene.becomes("web-0 client stranger", denied="stranger>web-0")
        with scene.untouched("client", "stranger"):
            scene.delete("web-0")
            scene.objects.wait_for("web-0 is attached again", lambda: is_attached(scene, "web-0"))
            scene.becomes("web-0 client stranger", denied="stranger>web-0")


def is_attached(scene, name):
    found = scene.objects.find("v1/Pod", name, scene.namespace)
    return found is not None and network_status(found)


def test_attachment_that_no_policy_names_is_open(scene):
    """S10, S21."""
    scene.bed.components.add_parent("testbed3")  # on one wire each interface would answer for the other's address
    scene.apply(network("blue", "10.77.2.0/24", parent="testbed3"))
    scene.run(*(app(name, networks="red, blue") for name in ("web", "client", "stranger")))
    scene.apply(CLIENTS)
    scene.becomes("web client stranger", denied="stranger>web")
    scene.becomes("web client stranger", network="blue")
    scene.apply(policy("blue", "blue", {"app": "web"}, ingress=[from_pods(app="stranger")]))
    scene.becomes("web client stranger", denied="client>web", network="blue")
    scene.becomes("web client stranger", denied="stranger>web")


def test_pods_on_the_hosts_network_are_neither_targets_nor_peers(bed, scene):
    """S5: not even if one claims to have another's address."""
    scene.run(app("web"), app("client"), app("stranger"))
    host = generation()  # of this process, which is in the host's network
    address = network_status(scene.pod("stranger"))[1]["ips"]
    liar = app("liar", "client", networks=(), hostNetwork=True)
    status = [{"name": f"{scene.namespace}/red", "interface": "net1", "ips": address, "default": False}]
    liar["metadata"]["annotations"][STATUS] = json.dumps(status)
    scene.run(liar)
    scene.apply(CLIENTS, policy("all", "red", {}))
    scene.becomes("web client stranger", denied="stranger>web web>client stranger>client web>stranger client>stranger")
    assert generation() == host
    assert "mnp" not in bed.sandboxes.execute(scene.name("liar"), "nft", "list", "tables")


def test_address_of_a_pod_that_has_ended_means_its_new_owner_only(scene):
    """S5."""
    scene.apply(network("red", "10.77.1.0/24", ipam={"type": "static"}, capabilities={"ips": True}))
    once = container("main", ["sh", "-c", "until [ -e /root/end ]; do sleep 0.1; done"])
    scene.run(
        at(9, "web"),
        at(10, "stranger"),
        at(11, "client", containers=[once], restartPolicy="Never"),
    )
    scene.apply(CLIENTS)
    scene.becomes("web stranger client", denied="stranger>web")
    kubectl("--namespace", scene.namespace, "exec", "client", "--", "touch", "/root/end")
    scene.objects.wait_until(
        "v1/Pod", "client", lambda found: found["status"]["phase"] == "Succeeded", scene.namespace, patience=90
    )
    scene.run(at(11, "heir", "stranger"))
    scene.becomes("web stranger heir", denied="stranger>web heir>web")
    scene.relabel("heir", app="client")
    scene.becomes("web stranger heir", denied="stranger>web")
    scene.delete("client")
    scene.becomes("web stranger heir", denied="stranger>web")


def at(number, name, label=None, **spec):
    return app(name, label, networks=[{"name": "red", "ips": [f"10.77.1.{number}/24"]}], **spec)
