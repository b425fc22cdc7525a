"""Loading plugins: the one place that touches pluggy, behind a typed facade.

pluggy registers and calls; it isolates nothing: a module that fails while it is registered can leave hooks behind,
one broken entry point ends `load_setuptools_entrypoints`, a generator runs after the call that should have caught
its exceptions, results are `Any`. Here every plugin gets a manager of its own, so that undoing a plugin is forgetting
its manager, and everything that a plugin runs is contained: it contributes all that it offers, or nothing.

Never here: a decision about policy, or work on behalf of a plugin before it is needed.
"""

from mnp_core.plugins._catalog import COMMAND_DISTRIBUTIONS, Catalog
from mnp_core.plugins._loading import load_plugins
from mnp_core.plugins._registry import Registry
from mnp_core.plugins._status import PluginStatus, State

__all__ = ["COMMAND_DISTRIBUTIONS", "Catalog", "PluginStatus", "Registry", "State", "load_plugins"]
