"""Our rules in the current sandbox, by whatever applier wrote them."""

from collections.abc import Iterable

from mnp_core.api import PathApplier, RuleApplier, RuleVerifier
from mnp_core.model import LinkPath, Ruleset


def is_in_force(applier: RuleApplier, ruleset: Ruleset) -> bool:
    """Whether exactly this ruleset is in force; stamps in the sandbox decide only where the applier cannot compare."""
    if isinstance(applier, RuleVerifier):
        return applier.is_in_force(ruleset)
    installed = applier.installed()
    return installed is not None and installed.matches(ruleset)


def installed_paths(appliers: Iterable[RuleApplier]) -> frozenset[LinkPath]:
    """The paths other than IP for which rules are there."""
    found = (applier.installed_paths() for applier in appliers if isinstance(applier, PathApplier))
    return frozenset().union(*found)


def remove_rules(appliers: Iterable[RuleApplier]) -> bool:
    """Remove all rules of these appliers; whether there were any."""
    removed = False
    for applier in appliers:
        if applier.installed() is not None:
            applier.remove()
            removed = True
    return removed
