"""Network policy in the kernel of a pod's network namespace, through nf_tables: the dialect ``nftables``.

Every `mnp` loads this module, so its factories and public names import their implementation on first use.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from mnp_core import hookimpl
from mnp_core.api import PolicyRenderer, PolicyRendererSpec, RuleApplier, RuleApplierSpec
from mnp_core.model import LinkPath

if TYPE_CHECKING:
    from mnp_nftables.applier import NftablesApplier
    from mnp_nftables.renderer import NftablesRenderer

__all__ = ["NftablesApplier", "NftablesRenderer", "mnp_register_policy_renderers", "mnp_register_rule_appliers"]

_DIALECT = "nftables"
_PATHS = frozenset({LinkPath.IP, LinkPath.BRIDGED})


@hookimpl
def mnp_register_policy_renderers() -> Iterable[PolicyRendererSpec]:
    """Offer the dialect."""
    yield PolicyRendererSpec(name="nftables", dialect=_DIALECT, factory=_make_renderer)


@hookimpl
def mnp_register_rule_appliers() -> Iterable[RuleApplierSpec]:
    """Offer nf_tables by netlink."""
    yield RuleApplierSpec(name="nftables", dialect=_DIALECT, factory=_make_applier, rank=100, paths=_PATHS)


def _make_renderer() -> PolicyRenderer:
    from mnp_nftables.renderer import NftablesRenderer  # noqa: PLC0415 # see above

    return NftablesRenderer()


def _make_applier() -> RuleApplier:
    from mnp_nftables.applier import NftablesApplier  # noqa: PLC0415 # see above

    return NftablesApplier()


def __getattr__(name: str) -> object:
    if name == "NftablesApplier":
        from mnp_nftables.applier import NftablesApplier  # noqa: PLC0415 # see above

        return NftablesApplier
    if name == "NftablesRenderer":
        from mnp_nftables.renderer import NftablesRenderer  # noqa: PLC0415 # see above

        return NftablesRenderer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
