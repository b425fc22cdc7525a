"""Objects from a cluster: every kind that matters is listed once, and then watched.

The seam to the agent is `KubernetesSource`, with `SourceObserver` for whoever counts and tells.
"""

from mnp_core.sources.kubernetes.observer import ObjectIdentity, SourceObserver

__all__ = ["ObjectIdentity", "SourceObserver"]
