"""From decoded JSON or YAML to values of the model, with a report for everything that is wrong.

Total: whatever an object holds, of any type, size and depth, a parser returns the object and reports. It raises
`mnp_core.errors.InputError` only for one that has no usable name, and nothing else ever. What cannot be understood
affects itself alone (S6) and never allows more than it could have meant (S13): a field that the API does not know may
have been meant to narrow, so the rule, peer or port that holds it matches nothing.

The argument is what `json`, `msgspec` or `mnp_core.sources` decode to: dict, list, str, int, float, bool and None.
"""

from mnp_core.model.parsing.field import Field, Findings
from mnp_core.model.parsing.ipam_claim import IPAM_CLAIM, parse_ipam_claim
from mnp_core.model.parsing.metadata import DEFAULT_NAMESPACE, parse_ref
from mnp_core.model.parsing.names import is_cni_type
from mnp_core.model.parsing.namespace import NAME_LABEL, parse_namespace
from mnp_core.model.parsing.network import parse_network
from mnp_core.model.parsing.networks import NETWORKS, parse_requests
from mnp_core.model.parsing.pod import DEFAULT_NETWORK, MIRROR, parse_pod
from mnp_core.model.parsing.policy import parse_policy
from mnp_core.model.parsing.scope import POLICY_FOR
from mnp_core.model.parsing.status import NETWORK_STATUS, NETWORK_STATUS_OF_OLD
from mnp_core.model.parsing.virtual_machine import (
    VIRTUAL_MACHINE,
    parse_virtual_machine,
    parse_virtual_machine_and_guest,
)

__all__ = [
    "DEFAULT_NAMESPACE",
    "DEFAULT_NETWORK",
    "IPAM_CLAIM",
    "MIRROR",
    "NAME_LABEL",
    "NETWORKS",
    "NETWORK_STATUS",
    "NETWORK_STATUS_OF_OLD",
    "POLICY_FOR",
    "VIRTUAL_MACHINE",
    "Field",
    "Findings",
    "is_cni_type",
    "parse_ipam_claim",
    "parse_namespace",
    "parse_network",
    "parse_pod",
    "parse_policy",
    "parse_ref",
    "parse_requests",
    "parse_virtual_machine",
    "parse_virtual_machine_and_guest",
]
