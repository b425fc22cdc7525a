"""Policies hold with every definition of the kind: none at first, the public one, ours."""

import time

import pytest

from tests.cluster.definitions import MACVLAN, OURS, PUBLIC, define, undefine_all
from tests.cluster.flow import Flow
from tests.cluster.manifests import from_pods, network_status, pod, policy
from tests.cluster.nodeagent import kubectl

PODS = "web client stranger"
CLOSED = "client>web stranger>web"
POLICIES = {
    "nothing but a selector": (policy("p", "red", {"app": "web"}), CLOSED),
    "empty lists": (policy("p", "red", {"app": "web"}, policyTypes=[], ingress=[]), CLOSED),
    "no protocol": (
        policy("p", "red", {"app": "web"}, ingress=[from_pods({"port": 80}, app="client")]),
        "stranger>web",
    ),
    "egress": (
        policy("p", "red", {"app": "client"}, egress=[{"to": [{"ipBlock": {"cidr": "10.77.2.0/24"}}]}]),
        "stranger>client web>client client>web client>stranger",
    ),
    "white space": (policy("p", " red ,\n", {"app": "web"}, policyTypes=["Ingress"], ingress=[{}]), ""),
    "a range": (
        policy("p", "red", {"app": "web"}, ingress=[from_pods({"port": 70, "endPort": 80}, app="stranger")]),
        "client>web",
    ),
}
"""Policies that mean what they say only if what is missing is filled in; and who does not reach whom then."""


@pytest.fixture
def agent(bed, node_agent):
    """It runs, on a cluster that has never heard of policies."""
    undefine_all(bed.objects)
    node_agent.deploy()
    try:
        yield node_agent
    finally:
        node_agent.remove()
        undefine_all(bed.objects)


@pytest.fixture
def three(scene):
    scene.run(*(pod(name, "red", labels={"app": name}) for name in PODS.split()))
    return scene


def test_agent_runs_before_there_is_a_definition(bed, agent, three):
    """It is ready, names the missing definition, and begins when one appears, the public one or ours."""
    assert agent.readiness() == (200, "ok\n")
    assert "MultiNetworkPolicy: k8s.cni.cncf.io/v1beta2 or k8s.cni.cncf.io/v1beta1 is not served" in agent.log()
    three.becomes(PODS)
    define(bed.objects, PUBLIC)
    three.apply(policy("closed", "red", {"app": "web"}))
    three.becomes(PODS, denied=CLOSED)


@pytest.mark.parametrize("definition", [PUBLIC, OURS], ids=lambda path: path.name)
@pytest.mark.usefixtures("agent")
def test_policies_mean_the_same_with_each_definition(bed, three, definition):
    """S1, S2: no behaviour depends on defaults of the API server."""
    define(bed.objects, definition)
    for wanted, denied in POLICIES.values():
        three.apply(wanted)
        three.becomes(PODS, denied=denied)
        three.delete("p", kind="k8s.cni.cncf.io/v1beta1/MultiNetworkPolicy")
        three.becomes(PODS)


def test_definition_is_replaced_while_the_agent_runs(bed, agent, three, figures):
    """S60, S62: nothing opens, no ruleset is rewritten, and later changes are followed."""
    define(bed.objects, PUBLIC)
    three.apply(policy("closed", "red", {"app": "web"}))
    three.becomes(PODS, denied=CLOSED)
    (address,) = network_status(three.pod("web"))[1]["ips"]
    flow = Flow(bed.sandboxes, three.name("stranger"), three.name("web"), address, 5000)
    with three.untouched(*PODS.split()), flow:
        kubectl("replace", "--filename", str(OURS))
        define(bed.objects, OURS)  # waits until both versions are served
        time.sleep(8)  # longer than a watch that lost its resource needs to look for another
    assert flow.sent > 1000
    assert flow.arrived == 0
    figures.append(f"definition replaced: none of {flow.sent} packets of a denied flow arrived")
    changed = policy("closed", "red", {"app": "web"}, ingress=[from_pods(app="client")])
    three.apply({**changed, "apiVersion": "k8s.cni.cncf.io/v1beta2"})
    three.becomes(PODS, denied="stranger>web")
    assert agent.readiness() == (200, "ok\n")


@pytest.mark.usefixtures("agent")
def test_macvlan_policies_hold_beside_the_others(bed, three):
    """S11: allowed is the union over all policies of all kinds."""
    for definition in (OURS, MACVLAN):
        define(bed.objects, definition)
    ours = policy("same", "red", {"app": "web"}, kind="MacvlanNetworkPolicy", ingress=[from_pods(app="client")])
    three.apply({**ours, "apiVersion": "k8s.cni.cncf.io/v1"})
    three.becomes(PODS, denied="stranger>web")
    three.apply(policy("same", "red", {"app": "web"}, ingress=[from_pods(app="stranger")]))
    three.becomes(PODS)
    three.delete("same", kind="k8s.cni.cncf.io/v1/MacvlanNetworkPolicy")
    three.becomes(PODS, denied="client>web")
    three.delete("same", kind="k8s.cni.cncf.io/v1beta1/MultiNetworkPolicy")
    three.becomes(PODS)
