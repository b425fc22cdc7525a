"""From installed distributions to a `Registry`: every plugin loaded on its own, then compared with the others."""

import logging
from collections.abc import Iterable, Sequence
from difflib import get_close_matches

from mnp_core.classes import frozen
from mnp_core.errors import InputError
from mnp_core.plugins._catalog import Contested, conflict_of, find_contested
from mnp_core.plugins._descriptors import describe_offer
from mnp_core.plugins._discovery import Plugin, canonicalize_name, find_plugins, incompatibility
from mnp_core.plugins._faults import InvalidPluginError
from mnp_core.plugins._module import NOTHING, Contents, read_plugin
from mnp_core.plugins._registry import Registry
from mnp_core.plugins._status import PluginStatus, State

_log = logging.getLogger(__name__)


@frozen(kw_only=True)
class _Attempt:
    """The result of loading one plugin, before the comparison with other plugins."""

    plugin: Plugin
    state: State
    detail: str = ""
    contents: Contents = NOTHING


def load_plugins(disabled: Iterable[str] = ()) -> Registry:
    """Load every installed plugin. Nothing that a plugin does makes this fail: it becomes a status.

    Args:
        disabled: The setting `plugins.disabled`: plugins to leave out without an import, by name of the entry point or
            of the distribution.

    Raises:
        InputError: A disabled plugin is not installed.
    """
    plugins = tuple(find_plugins())
    unwanted = _unwanted(plugins, disabled)
    wanted = [plugin for plugin in plugins if plugin not in unwanted]
    attempts = [_Attempt(plugin=plugin, state=State.DISABLED, detail="a setting disables it") for plugin in unwanted]
    attempts += [_attempt(plugin, wanted) for plugin in wanted]
    contents = [attempt.contents for attempt in attempts]
    contested = find_contested(offer for content in contents for offer in content.offers)
    registry = Registry(contents, contested, [_status(attempt, contested) for attempt in attempts])
    for status in registry.problems:
        _log.warning("%s", status)
    return registry


def _unwanted(plugins: Sequence[Plugin], disabled: Iterable[str]) -> list[Plugin]:
    unwanted = []
    for position, name in enumerate(disabled):
        named = [plugin for plugin in plugins if plugin.name == name or plugin.distribution == canonicalize_name(name)]
        if not named:
            raise InputError(_not_installed(name, plugins), field=f"plugins.disabled[{position}]")
        unwanted += [plugin for plugin in named if plugin not in unwanted]
    return unwanted


def _not_installed(name: str, plugins: Sequence[Plugin]) -> str:
    known = sorted({plugin.name for plugin in plugins})
    near = get_close_matches(name, [*known, *(plugin.distribution for plugin in plugins)], n=1)
    hint = f"is {near[0]!r} meant?" if near else f"installed are {', '.join(known)}"
    return f"no plugin {name[:80]!r} is installed: {hint}"


def _attempt(plugin: Plugin, wanted: Sequence[Plugin]) -> _Attempt:
    if plugin.fault:
        return _Attempt(plugin=plugin, state=State.FAILED, detail=plugin.fault)
    if rivals := _rivals(plugin, wanted):
        return _Attempt(plugin=plugin, state=State.CONFLICT, detail=rivals)
    try:
        if reason := incompatibility(plugin):
            return _Attempt(plugin=plugin, state=State.SKIPPED, detail=reason)
        contents = read_plugin(plugin)
    except InvalidPluginError as error:
        _log.debug("plugin %s of %s failed", plugin.name, plugin, exc_info=True)
        return _Attempt(plugin=plugin, state=State.FAILED, detail=str(error))
    return _Attempt(plugin=plugin, state=State.LOADED, contents=contents)


def _rivals(plugin: Plugin, wanted: Sequence[Plugin]) -> str:
    """Entry points that share its name, or its module: an import would find the code of either."""
    others = [other for other in wanted if other is not plugin]
    same_name = sorted(str(other) for other in others if other.name == plugin.name)
    same_module = sorted(str(other) for other in others if other.module and other.module == plugin.module)
    return "; ".join(
        f"{what} is claimed by {' and by '.join(sorted([str(plugin), *rivals]))}"
        for what, rivals in ((f"plugin {plugin.name!r}", same_name), (f"module {plugin.module!r}", same_module))
        if rivals
    )


def _status(attempt: _Attempt, contested: Contested) -> PluginStatus:
    offers = attempt.contents.offers
    conflicts = "; ".join(conflict for offer in offers if (conflict := conflict_of(offer, contested)))
    usable = [offer.descriptor for offer in offers if not conflict_of(offer, contested)]
    observed = [observer.hook.removeprefix("mnp_") for observer in attempt.contents.observers]
    return PluginStatus(
        name=attempt.plugin.name,
        distribution=attempt.plugin.distribution,
        version=attempt.plugin.version,
        state=State.CONFLICT if conflicts else attempt.state,
        detail=conflicts or attempt.detail,
        provides=tuple(map(describe_offer, usable)) + tuple(observed),
    )
