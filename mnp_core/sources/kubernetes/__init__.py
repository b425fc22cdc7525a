"""Objects from a cluster: every kind that matters is listed once, and then watched.

The seam to the agent is `KubernetesSource`, with `SourceObserver` for metrics and logs.
"""

from mnp_core.sources.kubernetes.backoff import WatchTiming
from mnp_core.sources.kubernetes.observer import ObjectIdentity, SourceObserver
from mnp_core.sources.kubernetes.source import KubernetesSource

__all__ = ["KubernetesSource", "ObjectIdentity", "SourceObserver", "WatchTiming"]
