"""The test bed itself, which other tests rely on."""

import json
import time
from pathlib import Path

import pytest

from mnp_core.model import ObjectName
from mnp_core.offline.probe import ProbeVerdict
from scripts.testbed import place, programs
from scripts.testbed.api import ApiError
from scripts.testbed.bed import kubectl
from scripts.testbed.command import run
from scripts.testbed.kind import chosen
from tests.cluster.fleet import on_network
from tests.cluster.manifests import container, daemon_set, definition, network, network_status, pod, running

READY = 60  # seconds


def run_pods(bed, namespace, *manifests):
    for manifest in manifests:
        bed.objects.apply(manifest, namespace)
    names = [manifest["metadata"]["name"] for manifest in manifests]
    return [bed.objects.wait_until("v1/Pod", name, running, namespace, patience=READY) for name in names]


def addresses(bed, name, interface):
    return json.loads(bed.sandboxes.execute(name, "ip", "-json", "address", "show", "dev", interface))[0]


def named(namespace, name):
    return ObjectName(namespace, name)


def test_the_node_is_ready(bed):
    conditions = bed.objects.get("v1/Node", bed.node)["status"]["conditions"]
    assert {"type": "Ready", "status": "True"}.items() <= next(c for c in conditions if c["type"] == "Ready").items()


def test_the_bridge_keeps_its_address(bed):
    """CHECK of the pods' default network compares it with that of their start."""
    assert bed
    lowest = ("name", "testbed4", "address", "02:00:00:00:00:01")
    run("ip", "link", "add", *lowest, "type", "veth", "peer", "name", "testbed4p")
    try:
        run("ip", "link", "set", "dev", "testbed4", "master", place.BRIDGE)
        assert Path(f"/sys/class/net/{place.BRIDGE}/address").read_text().strip() == place.BRIDGE_ADDRESS
    finally:
        run("ip", "link", "delete", "testbed4")


def test_a_pod_has_the_interfaces_that_it_asks_for(bed, namespace):
    bed.objects.apply(network("red", "10.77.1.0/24"), namespace)
    bed.objects.apply(network("blue", "10.77.2.0/24"), namespace)
    (found,) = run_pods(bed, namespace, pod("a", f"red,{namespace}/blue@data"))
    default, red, blue = network_status(found)
    assert default["default"] is True
    assert (red["name"], red["interface"]) == (f"{namespace}/red", "net1")
    assert (blue["name"], blue["interface"]) == (f"{namespace}/blue", "data")
    for entry in (red, blue):
        link = addresses(bed, named(namespace, "a"), entry["interface"])
        assert link["address"] == entry["mac"]
        assert [a["local"] for a in link["addr_info"] if a["family"] == "inet"] == entry["ips"]


def test_addresses_and_interface_names_can_be_chosen(bed, namespace):
    static = network("red", "10.77.1.0/24", ipam={"type": "static"}, capabilities={"ips": True, "mac": True})
    bed.objects.apply(static, namespace)
    wish = {"name": "red", "interface": "red0", "ips": ["10.77.1.9/24"], "mac": "02:00:00:00:77:09"}
    run_pods(bed, namespace, pod("a", [wish]))
    link = addresses(bed, named(namespace, "a"), "red0")
    assert link["address"] == wish["mac"]
    assert [a["local"] for a in link["addr_info"] if a["family"] == "inet"] == ["10.77.1.9"]


@pytest.mark.skipif(chosen().packaged, reason="whereabouts is not built for this bed")
def test_addresses_are_given_out_for_the_whole_cluster_by_whereabouts(bed, namespace):
    for file in (programs.part("whereabouts") / "crds").iterdir():
        bed.objects.apply(file)
    settings = "/etc/cni/net.d/whereabouts.d/whereabouts.conf"
    ipam = {"type": "whereabouts", "range": "10.77.4.0/24", "configuration_path": settings}
    bed.objects.apply(network("red", "", ipam=ipam), namespace)
    found = run_pods(bed, namespace, pod("a", "red"), pod("b", "red"))
    assert {tuple(network_status(each)[1]["ips"]) for each in found} == {("10.77.4.1",), ("10.77.4.2",)}
    names = [f"{namespace}/{name}" for name in "ab"]
    assert set(bed.probes.matrix(names, f"{namespace}/red", "tcp:80").values()) == {ProbeVerdict.ALLOWED}


def test_a_list_of_plugins_is_chained(bed, namespace):
    macvlan = json.loads(network("red", "10.77.1.0/24")["spec"]["config"])
    del macvlan["cniVersion"], macvlan["name"]
    tuning = {"type": "tuning", "sysctl": {"net.ipv4.conf.IFNAME.arp_filter": "1"}}
    bed.objects.apply(
        definition("red", {"cniVersion": "0.4.0", "name": "red", "plugins": [macvlan, tuning]}), namespace
    )
    run_pods(bed, namespace, pod("a", "red"))
    assert bed.sandboxes.execute(named(namespace, "a"), "sysctl", "-n", "net.ipv4.conf.net1.arp_filter").strip() == "1"


def test_pods_reach_each_other_over_the_secondary_network(bed, namespace):
    bed.objects.apply(network("red", "10.77.1.0/24"), namespace)
    run_pods(bed, namespace, pod("a", "red"), pod("b", "red"))
    names = [f"{namespace}/{name}" for name in "ab"]
    for what in ("tcp:80", "udp:53", "icmp"):
        verdicts = bed.probes.matrix(names, f"{namespace}/red", what)
        assert set(verdicts.values()) == {ProbeVerdict.ALLOWED}, what
        assert len(verdicts) == 2


def test_a_pod_waits_for_a_network_that_does_not_exist_yet(bed, namespace):
    bed.objects.apply(pod("a", "late"), namespace)

    def told():
        events = bed.objects.list("v1/Event", namespace)
        return any("late" in event["message"] for event in events if event["reason"] == "FailedCreatePodSandBox")

    bed.objects.wait_for("the kubelet tells of the missing network", told)
    bed.objects.apply(network("late", "10.77.3.0/24"), namespace)
    found = bed.objects.wait_until("v1/Pod", "a", running, namespace, patience=READY)
    assert [entry["name"] for entry in network_status(found)][1:] == [f"{namespace}/late"]


def test_a_pod_that_goes_takes_its_interfaces_along(bed, namespace):
    bed.objects.apply(network("red", "10.77.1.0/24"), namespace)
    before = {path.name for path in _links()}
    run_pods(bed, namespace, pod("a", "red"))
    made = {path.name for path in _links()} - before
    assert made
    leases = place.NODE_FILES / "cni-state/networks/red"
    assert any(leases.glob("10.*"))
    bed.objects.delete("v1/Pod", "a", namespace)
    bed.objects.wait_for("its links are gone", lambda: not made & {path.name for path in _links()})
    bed.objects.wait_for("its address is free", lambda: not any(leases.glob("10.*")))


def test_a_daemon_set_runs_and_its_pods_are_known_to_the_api_server(bed, namespace):
    ask = "/programs/kubectl get --raw /version"  # finds the server and its own token as a pod does
    asking = container("asking", ["sh", "-c", f"until {ask}; do sleep 1; done; touch /answered; sleep 1000000"])
    asking["volumeMounts"] = [{"name": "programs", "mountPath": "/programs", "readOnly": True}]
    programs = {"name": "programs", "hostPath": {"path": str(kubectl().parent)}}
    asking["readinessProbe"] = {"exec": {"command": ["test", "-e", "/answered"]}, "periodSeconds": 1}
    bed.objects.apply(daemon_set("each", containers=[asking], volumes=[programs], hostNetwork=True), namespace)

    def ready(found):
        return found.get("status", {}).get("numberReady") == 1

    bed.objects.wait_until("apps/v1/DaemonSet", "each", ready, namespace, patience=READY)


def test_components_can_be_stopped_and_started(bed, namespace):
    run_pods(bed, namespace, pod("a"))
    with bed.components.stopped("kube-apiserver"), pytest.raises(OSError, match="refused"):
        bed.objects.get("v1/Pod", "a", namespace)
    with bed.components.stopped("runtime", kill=True):
        assert addresses(bed, named(namespace, "a"), "eth0")["operstate"] == "UP"
    assert running(bed.objects.get("v1/Pod", "a", namespace))


def test_the_past_can_be_forgotten(bed, namespace):
    made = bed.objects.apply(pod("a"), namespace)[0]["metadata"]["resourceVersion"]
    assert bed.components.compact() >= int(made)
    path = f"{bed.objects.collection('v1/ConfigMap')}"
    with pytest.raises(ApiError) as refused:
        bed.objects.request("GET", path, query={"resourceVersion": "1", "resourceVersionMatch": "Exact", "limit": "1"})
    assert refused.value.code == 410


def test_watches_from_before_can_be_made_to_expire(bed, namespace):
    made = bed.objects.apply(pod("a"), namespace)[0]["metadata"]["resourceVersion"]
    bed.objects.wait_until("v1/Pod", "a", running, namespace)
    bed.components.expire()
    query = {"watch": "true", "timeoutSeconds": "5", "resourceVersion": made}
    event = bed.objects.request("GET", bed.objects.collection("v1/Pod", namespace), query=query)
    assert (event["type"], event["object"]["code"]) == ("ERROR", 410)


def test_thousands_of_pods_are_made_in_seconds(bed, namespace, figures):
    node = bed.fleet.node("fleet")
    begun = time.monotonic()
    bed.fleet.fake_pods(5000, node, namespace, on_network(f"{namespace}/red", "10.78.0.0/16"))
    took = time.monotonic() - begun
    assert len(bed.objects.list("v1/Pod", namespace)) == 5000
    bed.fleet.remove_pods(namespace)
    assert bed.objects.list("v1/Pod", namespace) == []
    bed.fleet.remove_node(node)
    figures.append(f"test bed: 5000 pods made in {took:.0f} s")


def _links():
    return Path("/sys/class/net").iterdir()
