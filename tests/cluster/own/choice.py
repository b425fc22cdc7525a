"""Which runtime: that of the bed's kind."""

from scripts.testbed.kind import chosen
from tests.cluster.own.containerd import OwnContainerd
from tests.cluster.own.crio import OwnCrio


def make(home, host, *, nri=None):
    """An `OwnRuntime`."""
    return {"containerd": OwnContainerd, "crio": OwnCrio}[chosen().runtime](home, host, nri=nri)
