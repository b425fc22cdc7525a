"""Findings of an inspection are reported by the running program at once (S64)."""

import json
import time

import pytest
from pyroute2 import IPRoute

from mnp_core.testing.builders import absent, pods, policy, present, rule
from mnp_ebpf import EbpfApplier
from tests.node.program import WEB
from tests.node.test_loop import A, B, Running, eventually

STATUS = "k8s.v1.cni.cncf.io/network-status"
OPEN = 'mnp_unenforceable_attachments{reason="Unenforceable"}'


def edit(**change):
    """Change the interface net1 as a process with CAP_NET_ADMIN in the pod can."""

    def work():
        with IPRoute() as kernel:
            (index,) = kernel.link_lookup(ifname="net1")
            kernel.link("set", index=index, state="down")
            kernel.link("set", index=index, **change)
            kernel.link("set", index=index, state="up")

    return work


@pytest.mark.root
def test_an_interface_renamed_in_a_running_pod_is_in_log_metric_and_event_though_nothing_is_written(node):
    """S64."""
    node.start()
    assert node.metric(OPEN) == 0
    began = time.monotonic()
    node.inside(WEB, edit(ifname="mine"))
    node.until(lambda: node.problems("Unenforceable"))
    assert time.monotonic() - began < 5
    assert "'mine' has its MAC address" in node.problems("Unenforceable")[0]
    node.until(lambda: node.metric(OPEN) == 1)
    node.until(lambda: node.events("Unenforceable"))
    assert node.events("Unenforceable")[0]["involvedObject"]["name"] == "web"


@pytest.mark.root
def test_a_mac_changed_in_a_running_pod_is_reported_though_nothing_is_written(node):
    """S64."""
    node.start()
    node.inside(WEB, edit(address="02:00:00:00:77:01"))
    node.until(lambda: node.problems("Mismatch"))
    node.until(lambda: node.metric('mnp_reports{reason="Mismatch"}') == 1)


def test_a_problem_of_a_policy_that_selects_no_pod_is_reported_at_once():
    """S6, S64: no rules are written for it anywhere."""
    with Running() as node:
        node.begin(A, B)
        elsewhere = policy("elsewhere/p", networks=["missing"], ingress=[rule([pods()])])
        node.deliver(present(elsewhere))
        eventually(lambda: any(report.about == elsewhere.ref for report in node.observer.syncs[-1].appeared))
        assert node.observer.syncs[-1].outcomes == ()
        node.deliver(absent(elsewhere))
        eventually(lambda: any(report.about == elsewhere.ref for report in node.observer.syncs[-1].vanished))


def test_a_change_that_leads_to_no_news_is_no_pass():
    with Running() as node:
        node.begin(A, B)
        eventually(lambda: len(node.observer.results()) == 2)
        before = len(node.observer.syncs)
        node.deliver(present(A), present(B))
        time.sleep(0.2)
        assert len(node.observer.syncs) == before


def bind_to_a_guest():
    """As KubeVirt's bridge binding does it: the real interface becomes a port, another one gets its name and MAC."""
    with IPRoute() as kernel:
        (real,) = kernel.link_lookup(ifname="net1")
        mac = kernel.get_links(real)[0].get_attr("IFLA_ADDRESS")
        kernel.link("set", index=real, state="down")
        kernel.link("set", index=real, ifname="37a8eec1ce1-nic", address="02:00:00:00:77:77")
        kernel.link("add", ifname="k6t-37a8eec1ce1", kind="bridge")
        (bridge,) = kernel.link_lookup(ifname="k6t-37a8eec1ce1")
        kernel.link("set", index=real, master=bridge, state="up")
        kernel.link("set", index=bridge, state="up")
        kernel.link("add", ifname="net1", kind="ifb", address=mac)
        kernel.link("set", index=kernel.link_lookup(ifname="net1")[0], state="up")


@pytest.mark.root
def test_an_interface_in_front_of_a_bridge_port_is_reported_and_counted(node):
    """S64: a denied client reaches the guest behind the bridge, where no backend filters frames (on this kernel)."""
    node.set(plugins={"disabled": ["ebpf"]})
    node.start()
    node.inside(WEB, bind_to_a_guest)
    node.until(lambda: node.problems("Unenforceable"))
    assert "'37a8eec1ce1-nic'" in node.problems("Unenforceable")[-1]
    node.until(lambda: node.metric(OPEN) == 1)


def give_the_bridge_its_addresses(own):
    """The bridge plays the guest: packets for it come by the port, and meet no rule for net1."""

    def work():
        bind_to_a_guest()
        with IPRoute() as kernel:
            (bridge,) = kernel.link_lookup(ifname="k6t-37a8eec1ce1")
            (port,) = kernel.link_lookup(ifname="37a8eec1ce1-nic")
            kernel.flush_addr(index=port)
            mac = kernel.get_links(port)[0].get_attr("IFLA_ADDRESS")  # a macvlan takes frames for no other
            kernel.link("set", index=bridge, address=mac)
            for address in own:
                kernel.addr("add", index=bridge, address=str(address.ip), prefixlen=address.network.prefixlen)

    return work


@pytest.mark.root
@pytest.mark.full
def test_a_backend_that_reaches_the_guest_joins_the_one_that_does_not(node):
    """S64: told as such, and switched to while the node runs."""
    if not (support := EbpfApplier().probe()).usable:
        pytest.skip(f"the backend ebpf cannot be used here: {support.detail}")
    node.set(backend_by_path={"bridged": "ebpf"})
    node.start()
    assert node.allowed() == {"client"}
    (link,) = node.lab.plan.pods[WEB].links
    node.inside(WEB, give_the_bridge_its_addresses(link.addresses))
    node.until(lambda: "backend=nftables+ebpf" in node.log.read_text())
    node.until(lambda: node.allowed() == {"client"})
    assert not node.problems("Unenforceable")


@pytest.mark.root
def test_an_attachment_that_network_status_loses_in_a_running_pod_stays_enforced(node):
    """S64: an attachment requested by the annotation networks is enforced as requested."""
    node.start()
    assert node.allowed() == {"client"}
    raw = node.raw("Pod", "web")
    annotations = {"k8s.v1.cni.cncf.io/networks": "data", STATUS: "[]"}
    lost = {**raw, "metadata": {**raw["metadata"], "annotations": annotations}}
    node.server.put("pods", lost)
    node.until(lambda: node.problems("InvalidNetworkStatus"))
    assert node.allowed() == {"client"}


@pytest.mark.root
def test_a_selector_on_a_network_without_ipam_is_reported_once_and_resolved(node):
    """S21: in log, Event and metric of the program; pods without an address come and go and nothing more is said."""

    def told():
        return node.problems("NoAddress")

    client = node.raw("Pod", "client")
    bare = json.loads(client["metadata"]["annotations"][STATUS])
    for entry in bare:
        entry["ips"] = []
    without = {STATUS: json.dumps(bare)}
    node.server.put("pods", {**client, "metadata": {**client["metadata"], "annotations": without}})
    node.start()
    node.until(lambda: node.metric('mnp_reports{reason="NoAddress"}') == 1)
    assert "no address of any pod that a selector here matches is known on demo/data" in told()[0]
    node.until(lambda: node.events("NoAddress"))
    assert node.events("NoAddress")[0]["involvedObject"]["name"] == "web-allow-client"
    for number in range(5):
        copy = {**client["metadata"], "name": f"client-{number}", "uid": f"copy-{number}", "annotations": without}
        node.server.put("pods", {**client, "metadata": copy, "spec": {**client["spec"], "nodeName": "elsewhere"}})
    for number in range(5):
        node.server.delete("pods", f"client-{number}", "demo")
    node.server.put("pods", client)
    node.until(lambda: node.metric('mnp_reports{reason="NoAddress"}') == 0)
    assert len(told()) == len(node.events("NoAddress")) == 1
    assert node.allowed() == {"client"}
