"""Pods on one network, and policies in different words with the same effect on the traffic between them.

The friend reaches the victim's port, and the other way round; the attacker does not, and is not reached. Beside them is
a bystander with a policy of its own, which is independent of the others.
"""

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from typing import Any

from mnp_core.api import Sandbox
from mnp_core.backend import Backends, BackendSettings
from mnp_core.model import Installed, ObjectName, RuleCounter
from mnp_core.plugins import load_plugins
from mnp_core.sandbox.netns import run_inside
from mnp_core.testing.suites.atomicity.traffic import Flow
from tests.cluster.definitions import MACVLAN, OURS, define
from tests.cluster.fixture import Bed
from tests.cluster.manifests import POLICY_FOR, container, network, network_status, pod, running
from tests.cluster.nodeagent import NodeAgent
from tests.cluster.probes import ProbeVerdict
from tests.cluster.quiescence import at_rest

PEOPLE = ("victim", "friend", "attacker", "bystander")
NET = "four-pods"
SUBNET = "10.77.40.0/24"
OPEN, CLOSED = 80, 81
POLICY = "k8s.cni.cncf.io/v1beta1/MultiNetworkPolicy"
APPLIER = Backends(load_plugins(), BackendSettings()).of(()).applier
"""Of the backend that an agent would choose here: to look at what is in force."""

Rules = Sequence[Mapping[str, Any]]


class FourPods:
    """A namespace of the bed with these pods. They stay; policies come and go."""

    def __init__(self, bed: Bed, namespace: str) -> None:
        """Make the pods, and wait until they run. Earlier agents are removed: they would do the tested one's work."""
        self.bed, self.objects, self.namespace = bed, bed.objects, namespace
        NodeAgent(bed.objects).remove()
        self.network = f"{namespace}/{NET}"
        for definition in (OURS, MACVLAN):  # an agent waits for missing definitions
            define(self.objects, definition)
        self.objects.apply(network(NET, SUBNET), namespace)
        self.add_pods(*PEOPLE)
        self.apply(self.policy("bystander", [{"from": [app("friend")]}], app("bystander")))

    def add_pods(self, *names: str, wait: bool = True, **spec: Any) -> None:
        """Run pods on the network, with a label ``app`` that is the name."""
        web = {**container(), "ports": [{"name": "web", "containerPort": OPEN, "protocol": "UDP"}]}
        for name in names:
            self.objects.apply(
                pod(name, NET, labels={"app": name}, containers=[web], automountServiceAccountToken=False, **spec),
                self.namespace,
            )
        for name in names if wait else ():
            self.await_pod(name)

    @contextmanager
    def passing(self, *names: str) -> Iterator[None]:
        """For the length of a block, pods that the friend alone reaches. They may have gone before its end."""
        self.add_pods(*names)
        self.apply(*(self.policy(name, [{"from": [app("friend")]}], app(name)) for name in names))
        try:
            yield
        finally:
            self.remove(*names)
            for name in names:
                self.objects.delete("v1/Pod", name, self.namespace, wait=False)

    def await_pod(self, name: str, patience: float = 120) -> None:
        """Wait until a pod runs."""
        self.objects.wait_until("v1/Pod", name, running, self.namespace, patience=patience)

    # --- desired state --------------------------------------------------------------------------------------------

    def policy(self, name: str, rules: Rules, selecting: Mapping[str, Any], *, both: bool = False) -> dict[str, Any]:
        """A policy for the network: these rules for ingress and, if `both`, for egress."""
        out = [{"to" if key == "from" else key: value for key, value in rule.items()} for rule in rules]
        directions = {"ingress": list(rules), **({"egress": out} if both else {})}
        return {
            "apiVersion": "k8s.cni.cncf.io/v1beta1",
            "kind": "MultiNetworkPolicy",
            "metadata": {"name": name, "namespace": self.namespace, "annotations": {POLICY_FOR: NET}},
            "spec": {**selecting, "policyTypes": [key.title() for key in directions], **directions},
        }

    def apply(self, *policies: Mapping[str, Any]) -> None:
        """Apply policies."""
        for manifest in policies:
            self.objects.apply(manifest)

    def remove(self, *names: str) -> None:
        """Delete policies."""
        for name in names:
            self.objects.delete(POLICY, name, self.namespace)

    # --- actual state ---------------------------------------------------------------------------------------------

    def address(self, name: str) -> str:
        """The address of a pod on the network."""
        status = network_status(self.objects.get("v1/Pod", name, self.namespace))
        return next(entry["ips"][0] for entry in status if entry["name"] == self.network)

    def sandbox(self, name: str) -> Sandbox:
        """A pod's network namespace."""
        return self.bed.sandboxes.locate(ObjectName(self.namespace, name))

    def generation(self, sandbox: Sandbox) -> int:
        """A number that grows with every change of the packet filter there, by any process."""
        return run_inside(sandbox, APPLIER.generation)

    def installed(self, sandbox: Sandbox) -> Installed | None:
        """The ruleset in force there."""
        return run_inside(sandbox, APPLIER.installed)

    def counters(self, sandbox: Sandbox) -> Sequence[RuleCounter]:
        """The counters of rules there; none if no policy selects the pod."""
        return run_inside(sandbox, APPLIER.counters)

    def generations(self) -> dict[str, int]:
        """The generations of all the people, at rest: any write to one of their packet filters changes them."""
        return at_rest(lambda: {name: self.generation(self.sandbox(name)) for name in PEOPLE})

    def reaches(self, source: str, destination: str, port: int = OPEN) -> bool:
        """Whether UDP comes through, and back."""
        return self.bed.probes.reaches(self._full(source), self._full(destination), self.network, f"udp:{port}")

    def reaching(self, destination: str) -> set[str]:
        """Those of friend and attacker that reach a pod."""
        pairs = [(self._full(source), self._full(destination)) for source in ("friend", "attacker")]
        verdicts = self.bed.probes.ask(pairs, self.network, f"udp:{OPEN}")
        return {pair[0].partition("/")[2] for pair in pairs if verdicts[pair] is ProbeVerdict.ALLOWED}

    def await_reaching(self, destination: str, sources: AbstractSet[str], patience: float = 60) -> None:
        """Wait until exactly these of friend and attacker reach a pod."""
        what = f"{sorted(sources)} alone reach {destination}"
        self.objects.wait_for(what, lambda: self.reaching(destination) == sources, patience=patience)

    def flows(self) -> list[Flow]:
        """The denied and allowed flows between the victim and the others, under any of `main_policies`."""
        at = {name: (self.sandbox(name), self.address(name)) for name in PEOPLE}

        def flow(name: str, source: str, destination: str, port: int, *, allowed: bool) -> Flow:
            return Flow(name, *at[source], *at[destination], port, allowed)

        return [
            flow("in", "attacker", "victim", CLOSED, allowed=False),
            flow("out", "victim", "attacker", CLOSED, allowed=False),
            flow("allowed in", "friend", "victim", OPEN, allowed=True),
            flow("allowed out", "victim", "friend", OPEN, allowed=True),
        ]

    def main_policies(self) -> list[dict[str, Any]]:
        """One policy in all its forms: each allows the friend both ways, none the attacker."""
        neighbours = {"ipBlock": {"cidr": SUBNET, "except": [f"{self.address('attacker')}/32"]}}
        forms: list[Rules] = [
            [{"from": [app("friend")], "ports": [udp(OPEN)]}],
            [{"from": [INVITED], "ports": [udp("web")]}],
            [{"from": [neighbours], "ports": [udp()]}, {"from": [INVITED]}],
            [{"ports": [udp(OPEN)]}],
            [{"from": [app("attacker"), neighbours], "ports": [udp(OPEN)]}, {"from": [app("friend")]}],
        ]
        return [self.policy("main", form, app("victim"), both=True) for form in forms]

    def side_policies(self) -> list[dict[str, Any]]:
        """Policies without an effect on the flows."""
        everywhere = {"namespaceSelector": {}, **INVITED}
        return [
            self.policy("deny", [], app("victim"), both=True),
            self.policy("invited", [{"from": [everywhere]}], app("victim"), both=True),
            self.policy("tcp", [{"from": [app("attacker")], "ports": [{"port": CLOSED}]}], app("victim"), both=True),
            self.policy("friends", [{"from": [app("victim")]}], app("friend"), both=True),
        ]

    def _full(self, name: str) -> str:
        return f"{self.namespace}/{name}"


def app(*names: str) -> dict[str, Any]:
    """A peer, or whom a policy selects: pods with one of these labels."""
    return {"podSelector": {"matchExpressions": [{"key": "app", "operator": "In", "values": list(names)}]}}


def udp(port: int | str | None = None) -> dict[str, Any]:
    """A port, by number or by name, or all of them."""
    return {"protocol": "UDP", **({} if port is None else {"port": port})}


INVITED = app("friend", "guest")
