"""MacvlanNetworkPolicy (k8s.cni.cncf.io/v1): the spec of NetworkPolicy, for macvlan attachments and no others."""

from collections.abc import Mapping

from mnp_core.model import Policy, Report
from mnp_core.model.parsing import parse_policy
from mnp_macvlan.discoverer import KIND


def parse_macvlan_policy(raw: Mapping[str, object]) -> tuple[Policy, tuple[Report, ...]]:
    """Read a MacvlanNetworkPolicy.

    Without the annotation policy-for it selects all macvlan attachments of its pods, with it those on the named
    networks that are macvlan. Its peers stand for the addresses of the same attachments.

    Raises:
        InputError: It has no usable name.
    """
    return parse_policy(raw, kind="MacvlanNetworkPolicy", scope_kinds=frozenset({KIND}), networks_required=False)
