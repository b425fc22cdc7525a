"""The annotation policy-for: the networks that a policy is about (S2)."""

from functools import lru_cache

from mnp_core.model.names import ObjectName
from mnp_core.model.parsing.field import Field, shown
from mnp_core.model.parsing.names import is_namespace_name, is_object_name
from mnp_core.model.report import Reason

POLICY_FOR = "k8s.v1.cni.cncf.io/policy-for"

_KEPT = 1024  # names: all pods on a network have one copy of its name
_REMEDY = "List networks as net or namespace/net, separated by commas"


def parse_networks(annotation: Field, namespace: str) -> frozenset[ObjectName]:
    """Read the networks; a bare name is in the policy's namespace. Malformed ones are reported and left out."""
    if annotation.is_missing:
        annotation.report(Reason.INVALID_POLICY_FOR, "it is missing: the policy selects nothing", _REMEDY)
        return frozenset()
    if not isinstance(annotation.value, str):
        problem = f"{annotation} is not text: the policy selects nothing"
        annotation.report(Reason.INVALID_POLICY_FOR, problem, _REMEDY)
        return frozenset()
    entries = [entry.strip() for entry in annotation.value.split(",")]
    networks = frozenset(network for entry in entries if (network := _network(annotation, entry, namespace)))
    if not networks:
        annotation.report(Reason.INVALID_POLICY_FOR, "it names no network: the policy selects nothing", _REMEDY)
    return networks


def _network(annotation: Field, entry: str, namespace: str) -> ObjectName | None:
    plain = "/".join(part.strip() for part in entry.split("/"))
    network = parse_network_name(plain, namespace)
    if network is not None and plain != entry:
        problem = f"{shown(entry)} is taken for {plain}: white space around the slash does not count"
        annotation.hint(Reason.SPELLING, problem, f"Write {plain}")
    if network is None:
        problem = f"{shown(entry)} names no network: it is left out" if entry else "an entry is empty: it is left out"
        annotation.report(Reason.INVALID_POLICY_FOR, problem, _REMEDY)
    return network


@lru_cache(_KEPT)
def parse_network_name(text: str, namespace: str) -> ObjectName | None:
    """Read ``net`` or ``namespace/net``; None if it is neither."""
    owner, slash, name = text.rpartition("/")
    owner = owner if slash else namespace
    return ObjectName(owner, name) if is_namespace_name(owner) and is_object_name(name) else None
