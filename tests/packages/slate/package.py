"""A backend for an invented dialect."""

from mnp_slate.backend import DIALECT, REFUSES, SlateApplier, SlateRenderer

from mnp_core import hookimpl
from mnp_core.api import PolicyRendererSpec, RuleApplierSpec


@hookimpl
def mnp_register_policy_renderers():
    yield PolicyRendererSpec(name="slate", dialect=DIALECT, factory=SlateRenderer, refuses=REFUSES)


@hookimpl
def mnp_register_rule_appliers():
    yield RuleApplierSpec(name="slate", dialect=DIALECT, factory=SlateApplier)
