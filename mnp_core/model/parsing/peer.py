"""The elements of ``from`` and ``to`` (NetworkPolicyPeer). One that cannot be understood is refused (S24)."""

from mnp_core.model.parsing.block import parse_block
from mnp_core.model.parsing.field import Field
from mnp_core.model.parsing.selector import parse_peer_selector
from mnp_core.model.policy import PodPeer, PolicyPeer
from mnp_core.model.report import Reason

_FIELDS = ("podSelector", "namespaceSelector", "ipBlock")
_REMEDY = "Write podSelector, namespaceSelector or both, or ipBlock"


def parse_peer(field: Field, namespace: str) -> PolicyPeer:
    """Read a peer of a policy in `namespace`.

    Raises:
        Refusal: It can match nothing in any cluster.
    """
    pods, namespaces, block = map(field.child, _FIELDS)
    if not field.is_mapping:
        raise field.refusal(Reason.INVALID_PEER, f"{field} is not a peer", _REMEDY)
    if unknown := field.unknown_keys(_FIELDS):
        problem = f"a peer has no field {unknown}, which may have been meant to narrow it"
        raise field.refusal(Reason.INVALID_PEER, problem, _REMEDY)
    if not block.is_missing:
        _report_selectors(field, pods, namespaces)
        return parse_block(block)
    if pods.is_missing and namespaces.is_missing:
        raise field.refusal(Reason.INVALID_PEER, "it has neither a selector nor an ipBlock", _REMEDY)
    return PodPeer(
        namespace=namespace if namespaces.is_missing else None,
        namespace_selector=None if namespaces.is_missing else parse_peer_selector(namespaces),
        pod_selector=parse_peer_selector(pods),
    )


def _report_selectors(field: Field, pods: Field, namespaces: Field) -> None:
    if not (pods.is_missing and namespaces.is_missing):
        problem = "ipBlock cannot be combined with a selector: the ipBlock is used, the selector is ignored"
        field.report(Reason.INVALID_PEER, problem, "Write two peers")
