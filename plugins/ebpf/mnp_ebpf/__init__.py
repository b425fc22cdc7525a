"""Network policy by BPF programs at the interfaces of a pod: the dialect ``ebpf``.

Every `mnp` loads this module, so its factories and public names import their implementation on first use.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from mnp_core import hookimpl
from mnp_core.api import PolicyRenderer, PolicyRendererSpec, RuleApplier, RuleApplierSpec
from mnp_ebpf.features import DIALECT, PATHS, RANK, REFUSES

if TYPE_CHECKING:
    from mnp_ebpf.applier import EbpfApplier
    from mnp_ebpf.renderer import EbpfRenderer

__all__ = ["EbpfApplier", "EbpfRenderer", "mnp_register_policy_renderers", "mnp_register_rule_appliers"]


@hookimpl
def mnp_register_policy_renderers() -> Iterable[PolicyRendererSpec]:
    """Offer the dialect."""
    yield PolicyRendererSpec(name="ebpf", dialect=DIALECT, factory=_make_renderer, refuses=REFUSES)


@hookimpl
def mnp_register_rule_appliers() -> Iterable[RuleApplierSpec]:
    """Offer the programs."""
    yield RuleApplierSpec(name="ebpf", dialect=DIALECT, factory=_make_applier, rank=RANK, paths=PATHS)


def _make_renderer() -> PolicyRenderer:
    from mnp_ebpf.renderer import EbpfRenderer  # noqa: PLC0415 # see above

    return EbpfRenderer()


def _make_applier() -> RuleApplier:
    from mnp_ebpf.applier import EbpfApplier  # noqa: PLC0415 # see above

    return EbpfApplier()


def __getattr__(name: str) -> object:
    if name == "EbpfApplier":
        from mnp_ebpf.applier import EbpfApplier  # noqa: PLC0415 # see above

        return EbpfApplier
    if name == "EbpfRenderer":
        from mnp_ebpf.renderer import EbpfRenderer  # noqa: PLC0415 # see above

        return EbpfRenderer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
