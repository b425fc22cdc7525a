"""Calls to observers; their exceptions are contained."""

import logging
from collections.abc import Iterable

from mnp_core.api import Outcome, Sync
from mnp_core.plugins._faults import InvalidPluginError, guarded
from mnp_core.plugins._module import Observer

_log = logging.getLogger(__name__)


class Observers:
    """All observers of all plugins."""

    def __init__(self, observers: Iterable[Observer]) -> None:
        self._observers = tuple(observers)
        self._failed: set[Observer] = set()

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
            self._report(observer, error)

    def _report(self, observer: Observer, error: InvalidPluginError) -> None:
        """Log the first failure of an observer loudly: one that always fails would drown everything else."""
        level = logging.DEBUG if observer in self._failed else logging.WARNING
        self._failed.add(observer)
        _log.log(level, "plugin %s of %s: %s", observer.plugin.name, observer.plugin, error, exc_info=error)
