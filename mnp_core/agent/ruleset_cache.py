"""Rulesets and differences that pods of this node share, each rendered once."""

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar, cast

from mnp_core.ability import has_ability
from mnp_core.api import BlocksRenderer, SandboxDeltaRenderer
from mnp_core.backend import Backend
from mnp_core.cluster import ClusterState
from mnp_core.errors import MnpError, PluginError
from mnp_core.lru import WeightedCache
from mnp_core.model import BlocksDelta, Delta, Group, GroupDelta, InterfacePolicy, Ruleset, SandboxPolicy

T = TypeVar("T")


class LazyDelta:
    """A change of membership, rendered once for each backend. For one thread."""

    def __init__(self, change: GroupDelta | BlocksDelta) -> None:
        self._change = change
        self._rendered: dict[str, Delta | None] = {}

    @property
    def change(self) -> GroupDelta | BlocksDelta:
        """The change itself."""
        return self._change

    def is_of_members(self, backend: Backend | None) -> bool:
        """Whether it is one of members alone in the dialect of a backend; if not, the rules have to be replaced."""
        if isinstance(self._change, GroupDelta):
            return True
        try:
            return backend is not None and self._render(backend) is not None
        except MnpError:
            return False  # the replacement fails in the same way, or does not

    def rendered(self, backend: Backend) -> Delta:
        """The delta in the dialect of a backend; errors as those of `LazyRuleset.get`."""
        delta = self._render(backend)
        if delta is None:
            raise PluginError(f"backend {backend.name} has no change of members for a change of blocks")
        return delta

    def _render(self, backend: Backend) -> Delta | None:
        if backend.name not in self._rendered:
            self._rendered[backend.name] = _guarded(lambda: _delta(backend, self._change))
        return self._rendered[backend.name]


def _delta(backend: Backend, change: GroupDelta | BlocksDelta) -> Delta | None:
    renderer = backend.renderer
    if isinstance(change, GroupDelta):
        return renderer.render_delta(change)
    return renderer.render_blocks_delta(change) if isinstance(renderer, BlocksRenderer) else None


def rendered_deltas(backend: Backend, deltas: Sequence[LazyDelta], policy: SandboxPolicy | None) -> list[Delta]:
    """All deltas that changes of members take in one sandbox, whose policy is given as it is after them."""
    rendered, renderer = [delta.rendered(backend) for delta in _concerning(deltas, policy)], backend.renderer
    groups = [delta.change for delta in deltas if isinstance(delta.change, GroupDelta)]
    if groups and policy is not None and has_ability(type(renderer), SandboxDeltaRenderer):
        own = _guarded(lambda: cast("SandboxDeltaRenderer", renderer).render_sandbox_delta(groups, policy))
        rendered += [] if own is None else [own]
    return rendered


def _concerning(deltas: Sequence[LazyDelta], policy: SandboxPolicy | None) -> Sequence[LazyDelta]:
    """Without changes of blocks of rules without effect: of an audit beside enforced policies (S71)."""
    if policy is None or all(isinstance(delta.change, GroupDelta) for delta in deltas):
        return deltas
    lists = policy.block_lists
    return [delta for delta in deltas if isinstance(delta.change, GroupDelta) or delta.change.id in lists]


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
