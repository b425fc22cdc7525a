"""A cluster shared by two tenants: real interfaces, manifests, and the rightful pairs."""

import json
from collections.abc import Iterable
from itertools import permutations

from mnp_core.api import Sync
from mnp_core.model import AddressSource, Change, ObjectRef
from mnp_core.testing.suites.reference.naive import End, Manifest, allowed
from mnp_core.testing.suites.wire.hosts import Probe
from mnp_core.testing.suites.wire.living import make_decoder
from mnp_core.testing.suites.wire.rig import Rig

NUMBERS = {"prod/web": 1, "prod/client": 2, "prod/stranger": 3, "tenant/mallory": 4, "tenant/agent": 5}
LABELS = {"prod/client": {"app": "client"}, "tenant/agent": {"role": "probe"}, "prod/web": {"app": "web"}}
OUTSIDE = 66
POLICY_FOR = {"k8s.v1.cni.cncf.io/policy-for": "site/lan"}
STATUS = "k8s.v1.cni.cncf.io/network-status"


def lan(number: int) -> list[str]:
    return [f"10.0.0.{number}", f"fd00::{number}"]


def default(number: int) -> list[str]:
    return [f"10.244.0.{number}", f"fd01::{number}"]


def entry(number: int, interface: str = "net1", **more: object) -> Manifest:
    """An attachment to the lan, as the meta-plugin writes it."""
    return {"name": "site/lan", "interface": interface, "ips": lan(number)} | more


def default_entry(number: int) -> Manifest:
    return {"name": "default", "interface": "eth0", "ips": default(number), "default": True}


def pod(name: str, *entries: object, labels: dict[str, str] | None = None, text: str | None = None) -> Manifest:
    """With these entries in network-status, or this text for it; otherwise as it really is."""
    namespace, _, short = name.partition("/")
    number = NUMBERS[name]
    status = json.dumps(entries or [default_entry(number), entry(number)]) if text is None else text
    own = LABELS.get(name, {}) if labels is None else labels
    metadata = {"name": short, "namespace": namespace, "labels": own, "annotations": {STATUS: status}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata}


def namespace(name: str, **labels: str) -> Manifest:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def network(config: str = '{"cniVersion": "1.0.0", "type": "macvlan"}') -> Manifest:
    metadata = {"name": "lan", "namespace": "site"}
    api_version, kind = "k8s.cni.cncf.io/v1", "NetworkAttachmentDefinition"
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": {"config": config}}


def policy(name: str, spec: object, *, kind: str = "MultiNetworkPolicy", api_version: str = "") -> Manifest:
    home, _, short = name.partition("/")
    metadata = {"name": short, "namespace": home, "annotations": POLICY_FOR}
    return {
        "apiVersion": api_version or "k8s.cni.cncf.io/v1beta1",
        "kind": kind,
        "metadata": metadata,
        "spec": spec,
    }


WEB = {
    "podSelector": {"matchLabels": {"app": "web"}},
    "ingress": [
        {
            "from": [
                {"podSelector": {"matchLabels": {"app": "client"}}},
                {"namespaceSelector": {}, "podSelector": {"matchLabels": {"role": "probe"}}},
                {"namespaceSelector": {"matchLabels": {"team": "partner"}}},
                {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "infra"}}},
            ]
        }
    ],
}
HONEST = [
    *(namespace(name) for name in ("prod", "tenant", "site", "infra")),
    network(),
    *map(pod, NUMBERS),
    policy("prod/web", WEB),
    policy("tenant/quarantine", {"podSelector": {}, "policyTypes": ["Ingress"]}),  # written by the cluster's operator
]

ENDS = [
    End(addresses(number)[family], name, interface)
    for family in (0, 1)
    for interface, addresses in (("net1", lan), ("eth0", default))
    for name, number in NUMBERS.items()
] + [End(address, None, "lan") for address in lan(OUTSIDE)]


def is_on_lan(end: End) -> bool:
    return end.interface != "eth0"


def can_meet(one: End, other: End) -> bool:
    return is_on_lan(one) == is_on_lan(other) and (":" in one.address) == (":" in other.address)


PROBES = [Probe(*pair, "TCP", 80) for pair in permutations(ENDS, 2) if can_meet(*pair)]
BY_RIGHT = {probe: allowed(HONEST, *probe) for probe in PROBES}
"""By the reference, which has read the honest manifests alone."""


class Shared(Rig):
    """Pods with the interfaces of the honest manifests, and one on the default network."""

    def __init__(self, peer_addresses: AddressSource) -> None:
        subnets = {"site/lan": ("10.0.0.0/24", "fd00::/64"), "site/pods": ("10.244.0.0/24", "fd01::/64")}
        outside = {"site/lan": tuple(lan(OUTSIDE))}
        super().__init__(subnets, outside, peer_addresses=peer_addresses)
        self._told: dict[ObjectRef, Change] = {}
        self.become(HONEST)

    def tell(self, objects: Iterable[Manifest]) -> Sync:
        """Deliver another state of the cluster to the agent. Real interfaces stay as they are."""
        now = {change.ref: change for change in make_decoder().decode_all(objects)}
        gone = [Change(ref=ref, object=None) for ref in self._told if ref not in now]
        self._told = now
        return self.agent.sync([*gone, *now.values()])

    def _stand(self, name: str, nics: list[Manifest]) -> None:
        eth0 = {"interface": "eth0", "network": "site/pods", "addresses": default(NUMBERS[name])}
        super()._stand(name, [*nics, eth0])
