"""One plugin's module: its hooks, validated, and their descriptors."""

import inspect
from collections.abc import Callable, Iterable, Iterator
from difflib import get_close_matches
from importlib import import_module
from itertools import islice
from types import ModuleType
from typing import Any, Generic

import pluggy

from mnp_core import hookspecs
from mnp_core._markers import PROJECT
from mnp_core.api import Named
from mnp_core.classes import frozen
from mnp_core.plugins._descriptors import REGISTRATIONS, D, check_descriptor, exclusive_names
from mnp_core.plugins._discovery import Plugin
from mnp_core.plugins._faults import InvalidPluginError, guarded

OBSERVATIONS = {"mnp_observe_outcome": "outcome", "mnp_observe_sync": "sync"}

_MOST_DESCRIPTORS = 1000  # a generator that never ends must not hang the start


@frozen(eq=False, kw_only=True)
class Offer(Generic[D]):
    """A descriptor, and the plugin that registered it."""

    plugin: Plugin
    descriptor: D

    def __str__(self) -> str:
        return f"{exclusive_names(self.descriptor)[0]} of {self.plugin}"


@frozen(eq=False, kw_only=True)
class Observer:
    """A plugin's implementation of one observing hook."""

    plugin: Plugin
    hook: str
    call: Callable[[object], object]


@frozen(kw_only=True)
class Contents:
    """All that one plugin contributes."""

    offers: tuple[Offer[Any], ...] = ()
    observers: tuple[Observer, ...] = ()


NOTHING = Contents()


def read_plugin(plugin: Plugin) -> Contents:
    """Import the plugin, validate its hooks and call those that register.

    Raises:
        InvalidPluginError: Something of it is not right; then it contributes nothing.
    """
    with guarded("it cannot be imported"):
        module = import_module(plugin.module)
    with guarded("its hooks cannot be registered"):
        hooks = tuple(_hooks(module, plugin.name))
    offers = [offer for name, function in hooks if name in REGISTRATIONS for offer in _offers(plugin, name, function)]
    _refuse_repeats(offers)
    return Contents(
        offers=tuple(offers),
        observers=tuple(_observer(plugin, name, function) for name, function in hooks if name in OBSERVATIONS),
    )


def _hooks(module: ModuleType, name: str) -> Iterator[tuple[str, Callable[..., object]]]:
    """The module's hook implementations, from a manager that holds nothing else."""
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(hookspecs)
    _refuse_unmarked(manager, module)
    manager.register(module, name)
    for caller in manager.get_hookcallers(module) or ():
        if not caller.has_spec():
            raise InvalidPluginError(f"there is no hook {caller.name}{_nearest(caller.name)}")
        for implementation in caller.get_hookimpls():
            _refuse_misuse(caller.name, implementation)
            yield caller.name, implementation.function


def _nearest(name: str) -> str:
    near = get_close_matches(name, [*REGISTRATIONS, *OBSERVATIONS], n=1)
    return f": {near[0]} is meant?" if near else f": there are {', '.join([*REGISTRATIONS, *OBSERVATIONS])}"


def _refuse_unmarked(manager: pluggy.PluginManager, module: ModuleType) -> None:
    """A hook without its marker is silently no hook for pluggy."""
    for name, value in vars(module).items():
        is_meant = name.startswith(("mnp_register_", "mnp_observe_")) and inspect.isfunction(value)
        if is_meant and manager.parse_hookimpl_opts(module, name) is None:
            raise InvalidPluginError(f"{name} is not marked with mnp_core.hookimpl")


def _refuse_misuse(name: str, implementation: pluggy.HookImpl) -> None:
    """Hooks that pluggy accepts, but not with the effect that their author expects."""
    function = implementation.function
    if implementation.hookwrapper or implementation.wrapper:
        raise InvalidPluginError(f"{name} is a wrapper: plugins cannot wrap the hooks of others")
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise InvalidPluginError(f"{name} is asynchronous: hooks are plain functions")
    if name in OBSERVATIONS and inspect.isgeneratorfunction(function):
        raise InvalidPluginError(f"{name} is a generator: nothing would run it")
    parameters = tuple(inspect.signature(function).parameters)
    if parameters != implementation.argnames:  # pluggy passes nothing to these
        raise InvalidPluginError(
            f"{name}({', '.join(parameters)}) must have no defaults, *args, **kwargs or keyword-only arguments"
        )


def _offers(plugin: Plugin, hook: str, function: Callable[..., object]) -> Iterator[Offer[Named]]:
    with guarded(hook):
        result = function()
        if isinstance(result, str) or not isinstance(result, Iterable):
            raise InvalidPluginError(f"{hook} must return or yield descriptors, not {result!r:.80}")
        descriptors = tuple(islice(result, _MOST_DESCRIPTORS + 1))
        if len(descriptors) > _MOST_DESCRIPTORS:
            raise InvalidPluginError(f"{hook} offers more than {_MOST_DESCRIPTORS} descriptors")
        checked = [check_descriptor(descriptor, REGISTRATIONS[hook]) for descriptor in descriptors]
    for descriptor in checked:
        yield Offer(plugin=plugin, descriptor=descriptor)


def _refuse_repeats(offers: Iterable[Offer[Named]]) -> None:
    seen = set()
    for key in (key for offer in offers for key in exclusive_names(offer.descriptor)):
        if key in seen:
            raise InvalidPluginError(f"it registers {key} twice")
        seen.add(key)


def _observer(plugin: Plugin, hook: str, function: Callable[..., object]) -> Observer:
    """An implementation may leave out the argument, as pluggy allows: a hook can gain arguments that way."""
    takes = inspect.signature(function).parameters
    return Observer(plugin=plugin, hook=hook, call=function if takes else lambda _: function())
