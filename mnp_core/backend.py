"""Which backend enforces: a renderer, and an applier that understands its dialect.

A backend named by a setting is used or refused with the reason, never replaced by another. Without a setting the
kernel decides: every applier is asked whether it works here, and the one with the highest rank is taken.
"""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import cache, cached_property

from attrs import field, frozen

from mnp_core.api import CustomRuleChecker, NodeState, PolicyRenderer, RuleApplier
from mnp_core.errors import ApplyError, PluginError, UnsupportedError
from mnp_core.model import Attachment, CommonRules, Feature, ObjectName
from mnp_core.plugins import Registry


@frozen(kw_only=True)
class Backend:
    """Renderer and applier of one sandbox: `name` is the applier's, `refuses` the renderer's."""

    name: str
    renderer: PolicyRenderer
    applier: RuleApplier
    refuses: frozenset[Feature] = frozenset()


@frozen(kw_only=True)
class BackendSettings:
    """Names of backends as the settings give them: an applier, or a dialect of which the best applier is taken.

    Attributes:
        node: The default; empty: the best that this kernel supports.
        kinds: By kind of attachment (a CNI type).
        networks: By network attachment definition.
    """

    node: str = ""
    kinds: Mapping[str, str] = field(factory=dict)
    networks: Mapping[ObjectName, str] = field(factory=dict)

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
        self._get = cache(lambda name: choose_backend(registry, name, features))
        for name in self._named - {""}:
            self._get(name)

    @property
    def _named(self) -> set[str]:
        return {self._settings.node, *self._settings.kinds.values(), *self._settings.networks.values()}

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
        """The backend of one sandbox, for all its interfaces.

        Raises:
            PluginError: The settings ask for several in this sandbox; or as in `choose_backend`.
            UnsupportedError: As in `choose_backend`.
        """
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
        return tuple(backend for backend in self._usable if backend.name != chosen.name)

    @property
    def node_states(self) -> Mapping[str, NodeState]:
        """Appliers that work here and keep state outside of network namespaces, by the name of their backend."""
        return {each.name: each.applier for each in self._usable if isinstance(each.applier, NodeState)}

    @cached_property
    def _usable(self) -> tuple[Backend, ...]:
        found = []
        for name in self._registry.appliers:
            with suppress(PluginError, UnsupportedError):
                found.append(_supported(self._registry, name)[1])
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
