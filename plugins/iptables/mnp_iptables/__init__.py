"""Iptables for `mnp_core`: policy in the language of iptables and ipset, and two ways into the kernel.

Every `mnp` loads this module, so imports of the implementation are in the factories.
"""

from collections.abc import Iterable

from mnp_core import hookimpl
from mnp_core.api import PolicyRenderer, PolicyRendererSpec, RuleApplier, RuleApplierSpec

_DIALECT = "iptables"


@hookimpl
def mnp_register_policy_renderers() -> Iterable[PolicyRendererSpec]:
    """The dialect ``iptables``."""
    yield PolicyRendererSpec(name="iptables", dialect=_DIALECT, factory=_make_renderer)


@hookimpl
def mnp_register_rule_appliers() -> Iterable[RuleApplierSpec]:
    """The way through nf_tables, and the one without."""
    yield RuleApplierSpec(name="iptables-nft", dialect=_DIALECT, factory=_make_nft_applier, rank=50)
    yield RuleApplierSpec(name="iptables-legacy", dialect=_DIALECT, factory=_make_legacy_applier, rank=30)


def _make_renderer() -> PolicyRenderer:
    from mnp_iptables.render.renderer import IptablesRenderer  # noqa: PLC0415 # see above

    return IptablesRenderer()


def _make_nft_applier() -> RuleApplier:
    from mnp_iptables.applier import IptablesApplier  # noqa: PLC0415 # see above
    from mnp_iptables.restore.nft import NftRules  # noqa: PLC0415 # likewise

    return IptablesApplier(NftRules())


def _make_legacy_applier() -> RuleApplier:
    from mnp_iptables.applier import IptablesApplier  # noqa: PLC0415 # see above
    from mnp_iptables.restore.legacy import LegacyRules  # noqa: PLC0415 # likewise

    return IptablesApplier(LegacyRules())
