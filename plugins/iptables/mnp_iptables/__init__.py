"""Iptables for `mnp_core`: policy in the language of iptables and ipset, and two ways into the kernel."""

from collections.abc import Iterable

from mnp_core import hookimpl
from mnp_core.api import PolicyRendererSpec, RuleApplierSpec
from mnp_iptables.applier import IptablesApplier
from mnp_iptables.render.renderer import DIALECT, IptablesRenderer
from mnp_iptables.restore.legacy import LegacyRules
from mnp_iptables.restore.nft import NftRules


@hookimpl
def mnp_register_policy_renderers() -> Iterable[PolicyRendererSpec]:
    """The dialect ``iptables``."""
    yield PolicyRendererSpec(name="iptables", dialect=DIALECT, factory=IptablesRenderer)


@hookimpl
def mnp_register_rule_appliers() -> Iterable[RuleApplierSpec]:
    """The way through nf_tables, and the one without."""
    yield RuleApplierSpec(name="iptables-nft", dialect=DIALECT, factory=lambda: IptablesApplier(NftRules()))
    yield RuleApplierSpec(name="iptables-legacy", dialect=DIALECT, factory=lambda: IptablesApplier(LegacyRules()))
