"""Audit mode from the API to the kernel and back: the annotation of a policy, packets, the status and the log."""

import pytest

from mnp_nftables import NftablesApplier
from tests.node.program import WEB
from tests.node.test_status import mnp, pod, status

pytestmark = pytest.mark.root
MODE = "mnp.k8s.cni.cncf.io/enforcement"
POLICIES = ("web-deny", "web-allow-client")


def set_mode(node, mode):
    """Annotate the policies of web; None removes the annotation."""
    for name in POLICIES:
        raw = node.raw("MultiNetworkPolicy", name)
        annotations = raw["metadata"]["annotations"] | ({MODE: mode} if mode is not None else {})
        node.server.put("multi-networkpolicies", {**raw, "metadata": {**raw["metadata"], "annotations": annotations}})


def counted(node):
    """Packets of web by the label of the rule."""
    return {each.label: each.packets for each in node.inside(WEB, NftablesApplier().counters)}


def test_policies_are_tried_before_they_bite(node):
    """S70 to S73: nothing is denied, everything is counted and said; then the annotation goes."""
    set_mode(node, "audit")
    node.set(log_denied="all")
    node.start()
    assert node.allowed() == {"client", "stranger"}
    assert counted(node)["would-deny"] >= 1
    [ingress] = [each["ingress"] for each in pod(status(node), "web")["interfaces"]]
    names = [f"MultiNetworkPolicy demo/{name}" for name in sorted(POLICIES)]
    assert ingress == {"isolated": False, "policies": [], "audit-policies": names}
    assert "audited:2" in mnp("status", "--socket", node.socket).stdout
    assert "demo/web-allow-client(audit)" in mnp("status", "--socket", node.socket, "-o", "wide").stdout
    node.until(lambda: "verdict=would-deny" in node.log.read_text())
    [line, *_] = [line for line in node.log.read_text().splitlines() if "verdict=would-deny" in line]
    assert "pod=demo/web" in line
    assert "peer=demo/stranger" in line
    assert all(name in line for name in names)

    set_mode(node, "no-such-mode")  # a mistake never opens
    node.until(lambda: node.allowed() == {"client"})
    [problem, _] = node.problems("InvalidEnforcement")
    assert "neither enforce nor audit: the policy is enforced" in problem
    set_mode(node, "audit")
    node.until(lambda: node.allowed() == {"client", "stranger"})
    set_mode(node, None)
    node.until(lambda: node.allowed() == {"client"})
    assert "would-deny" not in counted(node)
    assert pod(status(node), "web")["interfaces"][0]["ingress"]["isolated"]
