"""Rulesets and differences that pods of this node share, each rendered once."""

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from mnp_core.api import SandboxDeltaRenderer
from mnp_core.backend import Backend
from mnp_core.cluster import ClusterState
from mnp_core.errors import MnpError, PluginError
from mnp_core.lru import WeightedCache
from mnp_core.model import Delta, Group, GroupDelta, InterfacePolicy, Ruleset, SandboxPolicy

T = TypeVar("T")


class LazyDelta:
    """A change of membership, rendered once for each backend. For one thread."""

    def __init__(self, change: GroupDelta) -> None:
        self._change = change
        self._rendered: dict[str, Delta] = {}

    @property
    def change(self) -> GroupDelta:
        """The change itself."""
        return self._change

    def rendered(self, backend: Backend) -> Delta:
        """The delta in the dialect of a backend; errors as those of `LazyRuleset.get`."""
        if backend.name not in self._rendered:
            self._rendered[backend.name] = _guarded(lambda: backend.renderer.render_delta(self._change))
        return self._rendered[backend.name]


def rendered_deltas(backend: Backend, deltas: Sequence[LazyDelta], policy: SandboxPolicy | None) -> list[Delta]:
    """All deltas that changes of groups take in one sandbox, whose policy is given as it is after them."""
    rendered, renderer = [delta.rendered(backend) for delta in deltas], backend.renderer
    if rendered and policy is not None and isinstance(renderer, SandboxDeltaRenderer):
        own = _guarded(lambda: renderer.render_sandbox_delta([delta.change for delta in deltas], policy))
        rendered += [] if own is None else [own]
    return rendered


class LazyRuleset:
    """A ruleset that the first thread to need it renders; the others wait for it, or for its failure."""

    def __init__(self, backend: Backend, policy: SandboxPolicy) -> None:
        self.policy = policy
        self._renderer = backend.renderer
        self._lock = threading.Lock()
        self._ruleset: Ruleset | None = None

    def get(self) -> Ruleset:
        """The ruleset.

        Raises:
            PluginError: The renderer failed with an error that its contract does not allow.
            MnpError: As the renderer raised it.
        """
        with self._lock:
            if self._ruleset is None:
                self._ruleset = _guarded(lambda: self._renderer.render(self.policy))
            return self._ruleset


class RulesetCache:
    """Keyed by content: pods with equal policy share one ruleset."""

    def __init__(self, cluster: ClusterState) -> None:
        self._cluster = cluster
        self._version = cluster.version
        self._rulesets: WeightedCache[LazyRuleset] = WeightedCache()

    def of(self, backend: Backend, policy: SandboxPolicy) -> LazyRuleset:
        """The ruleset of a sandbox, not rendered yet."""
        if self._version != self._cluster.version:
            self._version = self._cluster.version
            self._rulesets.clear()
        key = backend.name, *_identity(policy.interfaces, policy.groups)
        found = self._rulesets.get(key)
        if found is None:  # it holds the objects that the key identifies
            weight = self._cluster.weight(policy.pod) + 1
            found = self._rulesets.keep(key, LazyRuleset(backend, policy), weight)
        return found


def _identity(interfaces: tuple[InterfacePolicy, ...], groups: Mapping[str, Group]) -> tuple[int, int]:
    """`ClusterState.sandbox_policy` gives equal pods one object; a comparison by content would cost more."""
    return id(interfaces), id(groups)


def _guarded(render: Callable[[], T]) -> T:
    """Run a renderer: an error outside of its contract is a fault of the plugin, and as permanent as its input."""
    try:
        return render()
    except (MnpError, OSError, MemoryError):
        raise
    except Exception as error:
        raise PluginError(f"{type(error).__name__} in a plugin: {error}") from error
