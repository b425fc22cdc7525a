"""Network policy in the kernel of a pod's network namespace, through nf_tables: the dialect ``nftables``."""

from collections.abc import Iterable

from mnp_core import hookimpl
from mnp_core.api import PolicyRendererSpec, RuleApplierSpec
from mnp_nftables.applier import NftablesApplier
from mnp_nftables.renderer import DIALECT, NftablesRenderer


@hookimpl
def mnp_register_policy_renderers() -> Iterable[PolicyRendererSpec]:
    """Offer the dialect."""
    yield PolicyRendererSpec(name="nftables", dialect=DIALECT, factory=NftablesRenderer)


@hookimpl
def mnp_register_rule_appliers() -> Iterable[RuleApplierSpec]:
    """Offer libnftables."""
    yield RuleApplierSpec(name="nftables", dialect=DIALECT, factory=NftablesApplier)
