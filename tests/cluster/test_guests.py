"""Addresses of guests on a real API server, with the rights of deploy/ and of its component `guests` alone (S75)."""

import json
from contextlib import closing
from pathlib import Path

import pytest
import yaml

from scripts.testbed import place
from scripts.testbed.patience import wait_for
from tests.cluster.agent import AgentProcess
from tests.cluster.definitions import OURS, define, undefine, undefine_all
from tests.cluster.manifests import NETWORKS, STATUS, definition, from_pods, network_status, pod, policy
from tests.cluster.nodeagent import kubectl
from tests.deploy.test_agent import build

pytestmark = pytest.mark.cluster
DATA = Path(__file__).parent / "data"
MACHINES, CLAIMS = DATA / "virtualmachineinstances.yml", DATA / "ipamclaims.yml"
ADDRESSES = {"web": "10.79.0.1", "vm": "10.79.0.5", "claimed": "10.79.0.6", "stranger": "10.79.0.9"}


@pytest.fixture
def account(bed, tmp_path):
    """The kubeconfig of the agent's ServiceAccount, which has no other rights than those of deploy/."""
    built = build("guests")
    wanted = [
        each for each in built.values() if each["kind"] in {"ServiceAccount", "ClusterRole", "ClusterRoleBinding"}
    ]
    assert len(wanted) == 5
    for each in wanted:
        bed.objects.apply(each)
    request = kubectl("create", "--raw", "/api/v1/namespaces/kube-system/serviceaccounts/mnp-node/token", "-f", "-",
                      stdin="{}")  # fmt: skip
    config = yaml.safe_load(place.KUBECONFIG.read_text())
    token = json.loads(request)["status"]["token"]
    config["users"] = [{"name": each["name"], "user": {"token": token}} for each in config["users"]]
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    yield path
    for each in wanted:
        metadata = each["metadata"]
        bed.objects.delete(f"{each['apiVersion']}/{each['kind']}", metadata["name"], metadata.get("namespace", ""))


@pytest.fixture
def definitions(bed):
    define(bed.objects, OURS)
    undefine(bed.objects, MACHINES)
    define(bed.objects, CLAIMS)
    yield
    undefine(bed.objects, MACHINES, CLAIMS)
    undefine_all(bed.objects)


@pytest.fixture
def guests(scene, definitions):  # noqa: ARG001 # used by its effect
    """Pods on a network without IPAM; their addresses are given inside, as guests do it."""
    config = {"cniVersion": "0.4.0", "name": "bare", "type": "macvlan", "master": place.PARENT, "mode": "bridge"}
    scene.apply(definition("bare", config), policy("web", "bare", {"app": "web"}, ingress=[from_pods(kind="guest")]))
    claim = [{"name": "bare", "interface": "net1", "ipam-claim-reference": "claimed.bare"}]
    scene.run(
        pod("web", "bare", labels={"app": "web"}),
        pod("vm", "bare", labels={"kind": "guest"}),
        pod("claimed", claim, labels={"kind": "guest"}),
        pod("stranger", "bare"),
    )
    for name, address in ADDRESSES.items():
        assert [each.get("ips") for each in network_status(scene.pod(name)) if not each.get("default")] in (
            [None],
            [[]],
        )
        scene.execute(name, "ip", "address", "add", f"{address}/24", "dev", "net1")
    return scene


def reaching(scene):
    """The pods whose packets get through to web: a closed port refuses, a policy lets the try time out."""
    script = f"timeout 1 bash -c '</dev/tcp/{ADDRESSES['web']}/80' 2>&1; echo ended $?"
    answers = {name: scene.execute(name, "bash", "-c", script) for name in ADDRESSES if name != "web"}
    return {name for name, answer in answers.items() if "ended 124" not in answer}


def machine(scene, *ips, interface="net1"):
    found = {
        "name": "bare",
        "infoSource": "domain, guest-agent",
        "ipAddresses": list(ips),
        "podInterfaceName": interface,
    }
    return {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachineInstance",
        "metadata": {"name": "vm", "namespace": scene.namespace},
        "spec": {"networks": [{"name": "bare", "multus": {"networkName": "bare"}}]},
        "status": {"phase": "Running", "interfaces": [found], "guestOSInfo": {"name": "Debian"}},
    }


def test_guests_are_peers_by_machines_and_claims(bed, guests, account, tmp_path):
    """S75, S61, S62: definitions that come later, changes, an agent's restart; by packets."""
    settings = {"guest-addresses": ["ipam-claims", "kubevirt-guest-agent"]}
    objects, space = bed.objects, guests.namespace
    with closing(AgentProcess(bed, tmp_path / "agent.log", kubeconfig=account, settings=settings)) as agent:
        agent.start_and_wait()
        assert "kubevirt.io/v1 is not served" in agent.log.read_text()
        wait_for("web is isolated", lambda: reaching(guests) == set())

        claim = {"metadata": {"name": "claimed.bare"}, "spec": {"network": "bare", "interface": "net1"}}
        objects.apply({"apiVersion": "k8s.cni.cncf.io/v1alpha1", "kind": "IPAMClaim", **claim}, space)
        status = {"status": {"ips": [f"{ADDRESSES['claimed']}/24"], "ownerPod": "claimed"}}
        objects.patch("k8s.cni.cncf.io/v1alpha1/IPAMClaim", "claimed.bare", status, space, part="status")
        wait_for("the claim counts", lambda: reaching(guests) == {"claimed"})

        define(objects, MACHINES)
        objects.apply(machine(guests, ADDRESSES["vm"]), space)
        uid = objects.get("kubevirt.io/v1/VirtualMachineInstance", "vm", space)["metadata"]["uid"]
        guests.relabel("vm", **{"kubevirt.io/created-by": uid})
        wait_for("the machine counts", lambda: reaching(guests) == {"claimed", "vm"})

        agent.kill()
        assert reaching(guests) == {"claimed", "vm"}
        with guests.untouched("web"):
            agent.start_and_wait()
        assert reaching(guests) == {"claimed", "vm"}
        objects.apply(machine(guests, "10.79.0.77"), space)
        wait_for("the old address does not count", lambda: reaching(guests) == {"claimed"})


def test_without_the_rights_the_log_has_the_missing_rule_and_rules_stay(bed, guests, account, tmp_path):
    """S62: the agent is not ready, and writes nothing."""
    objects = bed.objects
    objects.delete("rbac.authorization.k8s.io/v1/ClusterRoleBinding", "mnp-node-guests", "")
    settings = {"guest-addresses": "ipam-claims"}
    with closing(AgentProcess(bed, tmp_path / "agent.log", kubeconfig=account, settings=settings)) as agent:
        agent.start()
        rule = 'apiGroups: ["k8s.cni.cncf.io"], resources: ["ipamclaims"], verbs: ["get", "list", "watch"]'
        wait_for("the missing rule is said", lambda: rule in agent.log.read_text().replace("\\", ""))
        assert agent.readiness() != "ok"
        objects.apply(build("guests")["ClusterRoleBinding mnp-node-guests"])
        agent.wait_ready()
        assert guests.pod("claimed")["metadata"]["annotations"].keys() >= {NETWORKS, STATUS}
