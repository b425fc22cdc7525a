"""Which backend enforces: a renderer, and an applier that understands its dialect.

A backend named by a setting is used or refused with the reason, never replaced by another. Without a setting the
kernel decides: every applier is asked whether it works here, and the one with the highest rank is taken. Where the
packets of an interface travel out of its reach (`mnp_core.model.LinkPath`), another one enforces beside it.
"""

import threading
from collections.abc import Iterable, Mapping
from functools import cache, cached_property

from attrs import field

from mnp_core.api import CustomRuleChecker, NodeState, PathApplier, PolicyRenderer, RuleApplier
from mnp_core.classes import frozen
from mnp_core.combined import CombinedApplier, CombinedRenderer, Part
from mnp_core.errors import ApplyError, PluginError, UnsupportedError
from mnp_core.model import Attachment, CommonRules, Feature, LinkPath, ObjectName
from mnp_core.plugins import Registry


@frozen(kw_only=True)
class Backend:
    """Renderer and applier of one sandbox: `name` and `paths` are the applier's, `refuses` the renderer's.

    `parts` are the names of several that enforce beside each other; empty for one alone.
    """

    name: str
    renderer: PolicyRenderer
    applier: RuleApplier
    refuses: frozenset[Feature] = frozenset()
    paths: frozenset[LinkPath] = frozenset({LinkPath.IP})
    parts: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The appliers at work."""
        return self.parts or (self.name,)


@frozen(kw_only=True)
class BackendSettings:
    """Names of backends as the settings give them: an applier, or a dialect of which the best applier is taken.

    Attributes:
        node: The default; empty: the best that this kernel supports.
        kinds: By kind of attachment (a CNI type).
        networks: By network attachment definition.
        paths: By path, for the interfaces of that path that the one chosen otherwise does not reach.
    """

    node: str = ""
    kinds: Mapping[str, str] = field(factory=dict)
    networks: Mapping[ObjectName, str] = field(factory=dict)
    paths: Mapping[LinkPath, str] = field(factory=dict)

    def of(self, attachment: Attachment) -> str:
        """The configured one: by its network, else by its kind, else for the node."""
        return self.networks.get(attachment.network) or self.kinds.get(attachment.kind) or self.node


class Backends:
    """Makes and probes backends, each once, on the thread that asks."""

    def __init__(
        self, registry: Registry, settings: BackendSettings, features: frozenset[Feature] = frozenset()
    ) -> None:
        """Make sure that everything which the settings name can be used here.

        Args:
            registry: Installed plugins.
            settings: Which backend enforces where.
            features: Features that the node's other settings require of every backend.

        Raises:
            PluginError: It is not installed, broken, or one of several that claim the same.
            UnsupportedError: This kernel lacks something for it, or its renderer refuses one of the features.
        """
        self._registry = registry
        self._settings = settings
        self._features = features
        self._lock = threading.Lock()
        self._get = cache(lambda name: choose_backend(registry, name, features))
        self._combined: dict[tuple[str, tuple[tuple[LinkPath, str], ...]], Backend] = {}
        self._obstacles: dict[tuple[str, LinkPath], str] = {}
        self._unusable: dict[str, str] = {}
        for name in self._named - {""}:
            self._get(name)
        for path, name in settings.paths.items():
            if path not in self._get(name).paths:
                raise UnsupportedError(f"backend {name!r} does not reach interfaces whose path is {path.value}")

    @property
    def _named(self) -> set[str]:
        settings = self._settings
        return {settings.node, *settings.kinds.values(), *settings.networks.values(), *settings.paths.values()}

    def check(self, common: CommonRules) -> None:
        """Have each backend that may be used try the custom rules, before anything starts.

        Raises:
            InputError: A line of a custom rule file is wrong.
            UnsupportedError: They cannot be tried; or as in `choose_backend`, like PluginError.
        """
        appliers = {(backend := self._get(name)).name: backend.applier for name in self._named}
        for applier in appliers.values():
            if common.custom and isinstance(applier, CustomRuleChecker):
                applier.check(common)

    def of(self, attachments: Iterable[Attachment]) -> Backend:
        """The backend of one sandbox, for all its interfaces; with others beside it for paths out of its reach.

        Raises:
            PluginError: The settings ask for several in this sandbox; or as in `choose_backend`.
            UnsupportedError: As in `choose_backend`.
        """
        attachments = tuple(attachments)
        main = self._main(attachments)
        if all(attachment.path is LinkPath.IP for attachment in attachments):
            return main
        paths = sorted({attachment.path for attachment in attachments} - {LinkPath.IP})
        with self._lock:
            reaching = {path: self._reaching(main, path)[0] for path in paths}
        beside = {path: name for path, name in reaching.items() if name not in {"", main.name}}
        return self._beside(main, beside) if beside else main

    def obstacle(self, attachments: Iterable[Attachment], path: LinkPath) -> str:
        """Why no backend enforces on interfaces of a path in the sandbox of these attachments; empty if one does.

        From any thread.
        """
        with self._lock:
            return self._reaching(self._main(attachments), path)[1]

    def _reaching(self, main: Backend, path: LinkPath) -> tuple[str, str]:
        """Name of the backend that enforces on a path, and why there is none."""
        named = self._settings.paths.get(path)
        candidates = [self._get(named)] if named else [main, *self._by_rank]
        reasons = []
        for candidate in candidates:
            if path in candidate.paths:
                obstacle = self._obstacle(candidate, path)
                if not obstacle:
                    return candidate.name, ""
                reasons.append(f"{candidate.name}: {obstacle}")
        reasons += [why for name, why in self._unusable.items() if path in self._registry.appliers[name].paths]
        return "", "; ".join(dict.fromkeys(reasons)) or f"no backend here reaches interfaces whose path is {path.value}"

    def _obstacle(self, backend: Backend, path: LinkPath) -> str:
        key = backend.name, path
        if key not in self._obstacles:
            if refused := sorted(backend.refuses & self._features):
                found = f"it refuses the setting {refused[0].value!r}"
            elif path is not LinkPath.IP and isinstance(backend.applier, PathApplier):
                found = backend.applier.obstacle(path)
            else:
                found = ""
            self._obstacles[key] = found
        return self._obstacles[key]

    def _beside(self, main: Backend, beside: Mapping[LinkPath, str]) -> Backend:
        key = main.name, tuple(beside.items())
        if key not in self._combined:
            names = dict.fromkeys(beside.values())
            others = {name: self._get(name) for name in names}
            parts = (
                Part(
                    name=main.name,
                    renderer=main.renderer,
                    applier=main.applier,
                    paths=main.paths - set(beside),
                    is_main=True,
                ),
                *(
                    Part(
                        name=name,
                        renderer=other.renderer,
                        applier=other.applier,
                        paths=frozenset(path for path, user in beside.items() if user == name),
                    )
                    for name, other in others.items()
                ),
            )
            self._combined[key] = Backend(
                name="+".join(part.name for part in parts),
                renderer=CombinedRenderer(parts),
                applier=CombinedApplier(parts),
                refuses=main.refuses.union(*(other.refuses for other in others.values())),
                paths=main.paths | frozenset(beside),
                parts=tuple(part.name for part in parts),
            )
        return self._combined[key]

    def _main(self, attachments: Iterable[Attachment]) -> Backend:
        users = {self._settings.of(attachment): attachment for attachment in attachments}
        chosen = {(backend := self._get(name)).name: backend for name in users or (self._settings.node,)}
        if len(chosen) == 1:
            return next(iter(chosen.values()))
        wishes = ", ".join(
            f"{user.interface} on {user.network} has {self._get(name).name}" for name, user in users.items()
        )
        pod = next(iter(users.values())).pod
        raise PluginError(f"pod {pod} cannot have several backends: {wishes}. Give its networks the same one")

    def others(self, chosen: Backend) -> tuple[Backend, ...]:
        """Backends that work here too, and so may have been in force before the settings were changed."""
        return tuple(backend for backend in self._usable if backend.name not in chosen.names)

    @property
    def node_states(self) -> Mapping[str, NodeState]:
        """Appliers that work here and keep state outside of network namespaces, by the name of their backend."""
        return {each.name: each.applier for each in self._usable if isinstance(each.applier, NodeState)}

    @property
    def _usable(self) -> tuple[Backend, ...]:
        return tuple(backend for _, backend in self._ranked)

    @property
    def _by_rank(self) -> Iterable[Backend]:
        return (backend for _, backend in sorted(self._ranked, key=lambda each: -each[0]))

    @cached_property
    def _ranked(self) -> tuple[tuple[int, Backend], ...]:
        """Those that work here, with their ranks; the reasons of the others are kept."""
        found = []
        for name in self._registry.appliers:
            try:
                found.append(_supported(self._registry, name))
            except (PluginError, UnsupportedError) as error:
                self._unusable[name] = str(error)
        return tuple(found)


def choose_backend(registry: Registry, name: str = "", features: frozenset[Feature] = frozenset()) -> Backend:
    """Choose an applier, and the renderer for it.

    Args:
        registry: Installed plugins.
        name: Of an applier, or of a dialect; empty for the best of all.
        features: Features that the renderer must not refuse.

    Raises:
        PluginError: It is not installed, broken, or one of several that claim the same.
        UnsupportedError: This kernel lacks something for it, or for all of them; or it refuses a feature.
    """
    candidates = [spec.name for spec in registry.appliers.values() if name in {"", spec.dialect}]
    if name in registry.appliers or (name and not candidates):  # missing: the registry has the reason
        return _supported(registry, name, features)[1]
    if not candidates:
        raise PluginError(_none_installed(registry))
    return _best(registry, candidates, features)


def choose_renderer(registry: Registry, name: str = "", features: frozenset[Feature] = frozenset()) -> PolicyRenderer:
    """Choose a renderer, for output only: one that does not work here is fine, too.

    Args:
        registry: Installed plugins.
        name: Of a dialect, or of an applier; empty for the dialect of the highest rank.
        features: Features that the renderer must not refuse.

    Raises:
        PluginError: It is not installed, broken, or one of several that rank equally.
        UnsupportedError: It refuses a feature.
    """
    dialect = _dialect(registry, name)
    renderer = registry.renderer(dialect)
    _check_features(registry, dialect, features)
    return renderer


def try_custom_rules(registry: Registry, name: str, common: CommonRules) -> str:
    """Have the first applier that can do it here try the custom rules, as a node does at its start.

    Args:
        registry: Installed plugins.
        name: As in `choose_renderer`.
        common: The settings that hold the rules.

    Returns:
        Why no applier can try them here; empty if one did, or if there are none.

    Raises:
        InputError: A line of a custom rule file is wrong.
        PluginError: As in `choose_renderer`.
    """
    if not common.custom:
        return ""
    dialect = _dialect(registry, name)
    users = (
        [name] if name in registry.appliers else [s.name for s in registry.appliers.values() if s.dialect == dialect]
    )
    reasons = []
    for user in users:
        try:
            applier = registry.applier(user)
            if isinstance(applier, CustomRuleChecker):
                applier.check(common)
                return ""
            reasons.append(f"backend {user!r} has no way to")
        except (ApplyError, PluginError, UnsupportedError) as error:
            reasons.append(str(error))
    return "; ".join(dict.fromkeys(reasons)) or f"no applier of dialect {dialect!r} is installed"


def _dialect(registry: Registry, name: str) -> str:
    return registry.appliers[name].dialect if name in registry.appliers else name or _best_dialect(registry)


def _best_dialect(registry: Registry) -> str:
    ranks = {spec.dialect: 0 for spec in registry.renderers.values()}
    if len(ranks) > 1:
        for applier, spec in registry.appliers.items():
            if spec.dialect in ranks:
                ranks[spec.dialect] = max(ranks[spec.dialect], _rank(registry, applier))
    best = sorted(dialect for dialect, rank in ranks.items() if rank == max(ranks.values()))
    if not best:
        raise PluginError(_none_installed(registry))
    if len(best) > 1:
        raise PluginError(f"several dialects would do equally well, choose one as backend: {', '.join(best)}")
    return best[0]


def _rank(registry: Registry, name: str) -> int:
    """The rank of an applier, usable here or not, and made only for it if it has to be; a broken one comes last."""
    if (rank := registry.appliers[name].rank) is not None:
        return rank
    try:
        return registry.probe(name, registry.applier(name)).rank
    except PluginError:
        return 0


def _none_installed(registry: Registry) -> str:
    return " ".join(
        ["no backend is installed: pip install one, for example mnp-nftables.", *map(str, registry.problems)]
    )


def _check_features(registry: Registry, dialect: str, features: frozenset[Feature]) -> None:
    """Refuse settings that the renderer of a dialect cannot write: here once, instead of in every pod."""
    for spec in registry.renderers.values():
        if spec.dialect == dialect and (refused := sorted(spec.refuses & features)):
            raise UnsupportedError(
                f"backend {dialect!r} refuses the setting {' and the setting '.join(map(repr, map(str, refused)))}: "
                "take it out of the settings, or choose another backend"
            )


def _supported(registry: Registry, name: str, features: frozenset[Feature] = frozenset()) -> tuple[int, Backend]:
    """The backend of that name with its rank, or the reason why not as an error."""
    applier = registry.applier(name)
    _check_features(registry, registry.appliers[name].dialect, features)
    dialect = registry.appliers[name].dialect
    refuses = (spec.refuses for spec in registry.renderers.values() if spec.dialect == dialect)
    backend = Backend(
        name=name,
        renderer=registry.renderer(dialect),
        applier=applier,
        refuses=frozenset().union(*refuses),
        paths=registry.appliers[name].paths,
    )
    support = registry.probe(name, applier)
    if not support.usable:
        raise UnsupportedError(f"backend {name!r} cannot be used here: {support.detail or 'it does not say why'}")
    return support.rank, backend


def _best(registry: Registry, names: Iterable[str], features: frozenset[Feature]) -> Backend:
    """The highest rank of those that work here; the reasons of the others are given only if none does."""
    ranked: dict[int, list[Backend]] = {}
    reasons = []
    for name in names:
        try:
            rank, backend = _supported(registry, name, features)
        except (PluginError, UnsupportedError) as error:
            reasons.append(str(error))
        else:
            ranked.setdefault(rank, []).append(backend)
    if not ranked:
        raise UnsupportedError(f"no installed backend can be used here: {'; '.join(reasons)}")
    best = ranked[max(ranked)]
    if len(best) > 1:
        rivals = ", ".join(sorted(backend.name for backend in best))
        raise PluginError(f"several backends would do equally well here, choose one of them in the settings: {rivals}")
    return best[0]
