"""Telling observers what happened, whatever they make of it."""

import logging
from collections.abc import Iterable

from attrs import evolve, frozen

from mnp_core.api import Outcome, Sync
from mnp_core.plugins._faults import InvalidPluginError, guarded
from mnp_core.plugins._module import Observer

_log = logging.getLogger(__name__)


@frozen(kw_only=True)
class ObserverFailure:
    """An observer that raised.

    Attributes:
        plugin: Name of the plugin.
        distribution: Its name and version.
        hook: Which hook.
        count: How often.
        error: The last error.
    """

    plugin: str
    distribution: str
    hook: str
    count: int
    error: str


class Observers:
    """All observers of all plugins."""

    def __init__(self, observers: Iterable[Observer]) -> None:
        self._observers = tuple(observers)
        self._failures: dict[Observer, ObserverFailure] = {}

    @property
    def failures(self) -> tuple[ObserverFailure, ...]:
        """One entry per observer that has ever raised."""
        return tuple(self._failures.values())

    def tell(self, hook: str, event: Outcome | Sync) -> None:
        """Call each implementation of the hook; never raises but for Ctrl-C."""
        for observer in self._observers:
            if observer.hook == hook:
                self._tell_one(observer, event)

    def _tell_one(self, observer: Observer, event: Outcome | Sync) -> None:
        try:
            with guarded(observer.hook):
                observer.call(event)
        except InvalidPluginError as error:
            self._remember(observer, error)

    def _remember(self, observer: Observer, error: InvalidPluginError) -> None:
        """Log the first failure of an observer loudly: one that always fails would drown everything else."""
        before = self._failures.get(observer) or ObserverFailure(
            plugin=observer.plugin.name, distribution=str(observer.plugin), hook=observer.hook, count=0, error=""
        )
        self._failures[observer] = evolve(before, count=before.count + 1, error=str(error))
        level = logging.DEBUG if before.count else logging.WARNING
        _log.log(level, "plugin %s of %s: %s", before.plugin, before.distribution, error, exc_info=error)
