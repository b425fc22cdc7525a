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
    "Host",
    "PolicedHost",
    "Router",
    "Wire",
    "af",
    "arrives",
    "passes",
    "works",
]


def PolicedHost(sandbox, cleanup):  # noqa: N802 # makes one
    """A pod."""
    return hosts.PolicedHost(sandbox, cleanup, NftablesRenderer(), NftablesApplier())


Wire = partial(hosts.Wire, make_pod=PolicedHost)
Router = partial(hosts.Router, make_pod=PolicedHost)
