"""Rulesets that several sandboxes of this node have in common are rendered once."""

import threading
from collections.abc import Mapping

from mnp_core.backend import Backend
from mnp_core.cluster import ClusterState
from mnp_core.lru import WeightedCache
from mnp_core.model import Group, InterfacePolicy, Ruleset, SandboxPolicy


class SharedRuleset:
    """Renders when it is first asked, on whichever thread that is; the others wait for it, or for its failure."""

    def __init__(self, backend: Backend, policy: SandboxPolicy) -> None:
        self.policy = policy
        self._renderer = backend.renderer
        self._lock = threading.Lock()
        self._ruleset: Ruleset | None = None

    def get(self) -> Ruleset:
        """The ruleset; raises whatever the renderer raises."""
        with self._lock:
            if self._ruleset is None:
                self._ruleset = self._renderer.render(self.policy)
            return self._ruleset


class Renderings:
    """Rulesets as they are at one moment; what they are for tells sandboxes apart, not whose sandbox it is."""

    def __init__(self, cluster: ClusterState) -> None:
        self._cluster = cluster
        self._version = cluster.version
        self._shared: WeightedCache[SharedRuleset] = WeightedCache()

    def of(self, backend: Backend, policy: SandboxPolicy) -> SharedRuleset:
        """The ruleset of a sandbox, not rendered yet."""
        if self._version != self._cluster.version:
            self._version = self._cluster.version
            self._shared.clear()
        key = backend.name, *_identity(policy.interfaces, policy.groups)
        shared = self._shared.get(key)
        if shared is None:  # it holds what the key is made of
            shared = self._shared.keep(key, SharedRuleset(backend, policy), self._cluster.weight(policy.pod) + 1)
        return shared


def _identity(interfaces: tuple[InterfacePolicy, ...], groups: Mapping[str, Group]) -> tuple[int, int]:
    """`ClusterState.sandbox_policy` gives equal pods one object; a comparison by content would cost more."""
    return id(interfaces), id(groups)
