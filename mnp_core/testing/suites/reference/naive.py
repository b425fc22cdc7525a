"""A second opinion on the meaning of policies, written from the text of the API and from nothing of this project.

It reads manifests as they are (decoded JSON, nothing parsed beforehand) and looks at every object for every question,
so that each function can be held against one paragraph of the documentation by eye. All that it remembers is how texts
are read. It imports nothing but the standard library: if it shared a line with the code that it judges, it would share
its mistakes.

Sources, quoted where they decide:
* API: the field documentation of ``networking.k8s.io/v1`` NetworkPolicySpec, NetworkPolicyPeer, NetworkPolicyPort,
  IPBlock and ``meta/v1`` LabelSelector;
* KEP-2079: ``endPort``;
* the MultiNetworkPolicy and Network Custom Resource Definition de-facto standards: ``policy-for``, ``network-status``;
* S1 to S64: the rules of this project, for cases that these leave open (malformed objects above all).
"""

import json
from functools import cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any, NamedTuple

POLICY_FOR = "k8s.v1.cni.cncf.io/policy-for"
NETWORK_STATUS = "k8s.v1.cni.cncf.io/network-status"

Manifest = dict[str, Any]


class End(NamedTuple):
    """One end of a packet: a pod's interface and an address there, or an address outside (pod is None)."""

    address: str
    pod: str | None = None  # "namespace/name"
    interface: str = ""


def allowed(objects: list[Manifest], source: End, destination: End, protocol: str, port: int) -> bool:
    """Say whether the first packet of a connection gets from one end to the other.

    It has to leave the source (egress, policies that select the source's interface) and to enter the destination
    (ingress, policies that select the destination's); an end outside of the cluster has no policies.
    """
    if source.pod is not None and destination.address in addresses_of(objects, source.pod):
        return True  # S44: to oneself, through lo
    leaves = source.pod is None or passes(objects, "Egress", source, destination.address, protocol, port)
    enters = destination.pod is None or passes(objects, "Ingress", destination, source.address, protocol, port)
    return leaves and enters


def passes(objects: list[Manifest], direction: str, here: End, peer: str, protocol: str, port: int) -> bool:
    """One direction of one interface.

    API, podSelector: "Multiple policies can select the same set of pods. In this case, the ingress rules for each are
    combined additively." API, ingress: "Traffic is allowed to a pod if there are no NetworkPolicies selecting the pod
    [..], OR if the traffic matches at least one ingress rule across all of the NetworkPolicy objects whose podSelector
    matches the pod."
    """
    isolating = [
        policy
        for policy in of_kind(objects, "MultiNetworkPolicy")
        if direction in policy_types(policy) and selects(objects, policy, here)
    ]
    if not isolating:
        return True
    return any(
        rule_matches(objects, policy, rule, direction, here, peer, protocol, port)
        for policy in isolating
        for rule in spec_of(policy).get("ingress" if direction == "Ingress" else "egress") or []
    )


# --- which policies ---------------------------------------------------------------------------------------------


def policy_types(policy: Manifest) -> list[str]:
    """API, policyTypes: "If this field is not specified, it will default based on the existence of ingress or egress.

    rules; policies that contain an egress section are assumed to affect egress, and all policies (whether or not they
    contain an ingress section) are assumed to affect ingress." S1: a list without a valid entry is as if not specified.
    """
    spec = spec_of(policy)
    if valid := [each for each in spec.get("policyTypes") or [] if each in ("Ingress", "Egress")]:
        return valid
    return ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]


def selects(objects: list[Manifest], policy: Manifest, here: End) -> bool:
    """Say whether a policy is about this interface of this pod (S10): podSelector, and policy-for."""
    pod = next(pod for pod in of_kind(objects, "Pod") if full_name(pod) == here.pod)
    networks = policy_networks(policy)
    return (
        not spec_of(pod).get("hostNetwork")
        and namespace_of(pod) == namespace_of(policy)
        and selector_matches(spec_of(policy).get("podSelector"), labels_of(pod), doubt=True)
        and any(i["interface"] == here.interface and i["network"] in networks for i in interfaces(pod))
    )


def policy_networks(policy: Manifest) -> list[str]:
    """The valid entries of policy-for as ``namespace/name`` (S2)."""
    networks = []
    for entry in annotations_of(policy).get(POLICY_FOR, "").split(","):
        parts = [part.strip() for part in entry.split("/")]
        if all(parts) and len(parts) == 1:
            networks.append(f"{namespace_of(policy)}/{parts[0]}")
        if all(parts) and len(parts) == 2:
            networks.append(f"{parts[0]}/{parts[1]}")
    return networks


# --- pods -------------------------------------------------------------------------------------------------------


def is_peer(pod: Manifest) -> bool:
    """S5: neither on the host's network, nor at its end. All pods here have a node.

    A finished pod stays a target while its sandbox lives.
    """
    finished = (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")
    return not finished and not spec_of(pod).get("hostNetwork")


def interfaces(pod: Manifest) -> list[Manifest]:
    """The pod's secondary interfaces: ``{"network", "interface", "addresses"}`` (S3), from network-status."""
    return read_status(annotations_of(pod).get(NETWORK_STATUS, "[]"), namespace_of(pod))


@cache
def read_status(text: str, namespace: str) -> list[Manifest]:
    """The annotation, for a pod in this namespace."""
    found = []
    for status in json.loads(text):
        if status.get("default") or not status.get("interface"):
            continue
        name = status["name"]
        found.append(
            {
                "network": name if "/" in name else f"{namespace}/{name}",
                "interface": status["interface"],
                "addresses": [plain(ip) for ip in status.get("ips") or []],
            }
        )
    return found


def addresses_of(objects: list[Manifest], name: str) -> list[str]:
    """Every secondary address of one pod."""
    pods = [pod for pod in of_kind(objects, "Pod") if full_name(pod) == name]
    return [address for pod in pods for interface in interfaces(pod) for address in interface["addresses"]]


def has_address(pod: Manifest, address: str, networks: list[str]) -> bool:
    """S21: say whether the address is the pod's, on one of these networks; no others stand for the pod."""
    return is_peer(pod) and any(
        plain(address) in interface["addresses"] for interface in interfaces(pod) if interface["network"] in networks
    )


def serves(pod: Manifest, name: str, protocol: str, port: int) -> bool:
    """Say whether a container of the pod calls this port by this name, for this protocol (S31)."""
    sidecars = [c for c in spec_of(pod).get("initContainers") or [] if c.get("restartPolicy") == "Always"]
    declared = [p for c in [*(spec_of(pod).get("containers") or []), *sidecars] for p in c.get("ports") or []]
    return any(
        p.get("name") == name and (p.get("protocol") or "TCP") == protocol and p.get("containerPort") == port
        for p in declared
    )


# --- rules ------------------------------------------------------------------------------------------------------


def rule_matches(
    objects: list[Manifest],
    policy: Manifest,
    rule: Manifest,
    direction: str,
    here: End,
    peer: str,
    protocol: str,
    port: int,
) -> bool:
    """One element of ``ingress`` or ``egress``.

    API, from: "Items in this list are combined using a logical OR operation. If this field is empty or missing, this
    rule matches all sources (traffic not restricted by source)." API, ports: "Each item in this list is combined using
    a logical OR. If this field is empty or missing, this rule matches all ports (traffic not restricted by port)."
    """
    peers = rule.get("from" if direction == "Ingress" else "to") or [None]
    entries = rule.get("ports") or [None]
    return any(
        peer_matches(objects, policy, who, peer)
        and port_matches(entry, protocol, port, served_by(objects, policy, direction, here, who, peer))
        for who in peers
        for entry in entries
    )


def served_by(
    objects: list[Manifest], policy: Manifest, direction: str, here: End, who: Manifest | None, peer: str
) -> list[Manifest]:
    """The pods among whose containers a named port is looked up: those that the packet may be going to (S31).

    In ingress that is the selected pod. In egress it is every pod that has the destination's address on one of the
    policy's networks and, where the peer names pods, is among these.
    """
    pods = of_kind(objects, "Pod")
    if direction == "Ingress":
        return [pod for pod in pods if full_name(pod) == here.pod]
    there = [pod for pod in pods if has_address(pod, peer, policy_networks(policy))]
    return [pod for pod in there if who is None or who.get("ipBlock") is not None or meant(objects, policy, who, pod)]


def peer_matches(objects: list[Manifest], policy: Manifest, peer: Manifest | None, address: str) -> bool:
    """API, NetworkPolicyPeer: an ipBlock, or pods by selectors (S24: with both, the ipBlock); None is any peer."""
    if peer is None:
        return True
    if peer.get("ipBlock") is not None:
        return block_matches(peer["ipBlock"], address)
    networks = policy_networks(policy)
    return any(
        has_address(pod, address, networks) and meant(objects, policy, peer, pod) for pod in of_kind(objects, "Pod")
    )


def meant(objects: list[Manifest], policy: Manifest, peer: Manifest, pod: Manifest) -> bool:
    """Say whether a peer's selectors mean this pod; a peer without any means none (S24).

    API, podSelector: "If namespaceSelector is also set, then the NetworkPolicyPeer as a whole selects the pods
    matching podSelector in the Namespaces selected by NamespaceSelector. Otherwise it selects the pods matching
    podSelector in the policy's own namespace." API, namespaceSelector: "if present but empty, it selects all
    namespaces [..] Otherwise [podSelector not set] it selects all pods in the namespaces selected".
    """
    by_pod, by_namespace = peer.get("podSelector"), peer.get("namespaceSelector")
    if by_pod is None and by_namespace is None:
        return False
    if by_namespace is None:
        in_namespace = namespace_of(pod) == namespace_of(policy)
    else:
        namespaces = [n for n in of_kind(objects, "Namespace") if n["metadata"]["name"] == namespace_of(pod)]
        in_namespace = any(selector_matches(by_namespace, labels_of(n), doubt=False) for n in namespaces)
    return in_namespace and selector_matches(by_pod, labels_of(pod), doubt=False)


def block_matches(block: Manifest, address: str) -> bool:
    """API, IPBlock: "Except is a slice of CIDRs that should not be included within an IPBlock." (S23, S25.)"""
    return inside(block.get("cidr"), address) and not any(inside(e, address) for e in block.get("except") or [])


def port_matches(entry: Manifest | None, protocol: str, port: int, pods: list[Manifest]) -> bool:
    """API, NetworkPolicyPort; None is any port. `pods` are those among whose containers a name is looked up.

    protocol: "If not specified, this field defaults to TCP." port: "This can either be a numerical or named port on a
    pod. If this field is not provided, this matches all port names and numbers." endPort: "If set, indicates that the
    range of ports from port to endPort, inclusive, should be allowed by the policy. This field cannot be defined if the
    port field is not defined or if the port field is defined as a named (string) port. The endPort must be equal or
    greater than port." S32: else the entry matches nothing.
    """
    if entry is None:
        return True
    first, last = number_of(entry.get("port")), number_of(entry.get("endPort"))
    if (entry.get("protocol") or "TCP").upper() != protocol:
        return False
    if first is None:
        return last is None
    if isinstance(first, str):
        return last is None and any(serves(pod, first, protocol, port) for pod in pods)
    last = first if last is None else last
    return 1 <= first <= last <= 65535 and first <= port <= last


def number_of(port: str | int | None) -> str | int | None:
    """S30: digits in quotes are a number."""
    return int(port) if isinstance(port, str) and port.isdecimal() else port


# --- labels, addresses, fields ----------------------------------------------------------------------------------


def selector_matches(selector: Manifest | None, labels: dict[str, str], *, doubt: bool) -> bool:
    """API, LabelSelector: "The result of matchLabels and matchExpressions are ANDed. An empty label selector matches.

    all objects." `doubt` is how a requirement counts that cannot be evaluated (S13): matching where a policy selects
    its targets, not matching where it lists its peers.
    """
    selector = selector or {}
    equal = all(labels.get(key) == value for key, value in (selector.get("matchLabels") or {}).items())
    return equal and all(
        requirement_matches(requirement, labels, doubt=doubt) for requirement in selector.get("matchExpressions") or []
    )


def requirement_matches(requirement: Manifest, labels: dict[str, str], *, doubt: bool) -> bool:
    """API, LabelSelectorRequirement.

    values: "If the operator is In or NotIn, the values array must be non-empty. If the operator is Exists or
    DoesNotExist, the values array must be empty." S10: NotIn and DoesNotExist match objects without the key.
    """
    key, operator, values = requirement.get("key"), requirement.get("operator"), requirement.get("values") or []
    if operator == "In" and values:
        return labels.get(key) in values
    if operator == "NotIn" and values:
        return labels.get(key) not in values
    if operator == "Exists" and not values:
        return key in labels
    if operator == "DoesNotExist" and not values:
        return key not in labels
    return doubt


def inside(cidr: Any, address: str) -> bool:
    """Say whether an address lies in a CIDR of its own family (S25); in one that cannot be read, none does."""
    try:
        return ip_address(plain(address)) in plain_network(cidr)
    except ValueError:
        return False


@cache
def plain_network(cidr: str) -> IPv4Network | IPv6Network:
    """A CIDR, host bits cut off; one that holds IPv4-mapped IPv6 addresses alone as the IPv4 one (S25)."""
    network = ip_network(cidr, strict=False)
    if network.version == 6 and network.prefixlen >= 96 and network.network_address.ipv4_mapped is not None:
        return ip_network((network.network_address.ipv4_mapped, network.prefixlen - 96))
    return network


@cache
def plain(address: str) -> str:
    """One spelling per address, IPv4-mapped IPv6 as IPv4 (S25)."""
    parsed = ip_address(address)
    return str((parsed.version == 6 and parsed.ipv4_mapped) or parsed)


def of_kind(objects: list[Manifest], kind: str) -> list[Manifest]:
    """The objects of one kind."""
    return [manifest for manifest in objects if manifest["kind"] == kind]


def spec_of(manifest: Manifest) -> Manifest:
    """``spec``, or nothing."""
    return manifest.get("spec") or {}


def namespace_of(manifest: Manifest) -> str:
    """``metadata.namespace``."""
    return manifest["metadata"].get("namespace") or "default"


def full_name(manifest: Manifest) -> str:
    """``namespace/name``."""
    return f"{namespace_of(manifest)}/{manifest['metadata']['name']}"


def annotations_of(manifest: Manifest) -> dict[str, str]:
    """``metadata.annotations``, or none."""
    return manifest["metadata"].get("annotations") or {}


def labels_of(manifest: Manifest) -> dict[str, str]:
    """``metadata.labels``, or none."""
    return manifest["metadata"].get("labels") or {}
