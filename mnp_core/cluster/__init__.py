"""The state of the cluster as one node needs it, and the pods that a change of it affects: pure, no I/O."""

from mnp_core.cluster.affected import Affected
from mnp_core.cluster.state import ClusterState

__all__ = ["Affected", "ClusterState"]
