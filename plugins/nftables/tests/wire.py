"""The kit's hosts, on which this plugin enforces policy."""

from functools import partial

from mnp_core.testing import hosts
from mnp_core.testing.hosts import FAMILIES, OTHER, PEER, POD, QUIET, SOON, Host, af, arrives, passes, works
from mnp_nftables import NftablesApplier, NftablesRenderer

__all__ = [
    "FAMILIES",
    "OTHER",
    "PEER",
    "POD",
    "QUIET",
    "SOON",
    "EnforcedHost",
    "Host",
    "Router",
    "Wire",
    "af",
    "arrives",
    "passes",
    "works",
]


def EnforcedHost(sandbox, cleanup):  # noqa: N802 # makes one
    """A pod."""
    return hosts.EnforcedHost(sandbox, cleanup, NftablesRenderer(), NftablesApplier())


Wire = partial(hosts.Wire, make_pod=EnforcedHost)
Router = partial(hosts.Router, make_pod=EnforcedHost)
