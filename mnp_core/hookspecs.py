"""The plugin API on one page.

A plugin is a distribution with an entry point in the group ``mnp`` that names a module. Functions of that module
which are marked with ``mnp_core.hookimpl`` and called as below are its hooks; it implements those that it needs:

    from mnp_core import hookimpl
    from mnp_core.api import PolicyRendererSpec

    @hookimpl
    def mnp_register_policy_renderers():
        yield PolicyRendererSpec(name="mine", dialect="mine", factory=MyRenderer)

Hooks that register return or yield descriptors (`mnp_core.api`); they are called once, when plugins are loaded, and
must not do any work or touch the system. An exception, or a wrong type, disables that plugin alone. Wrappers,
``tryfirst``, ``trylast`` and ``optionalhook`` have no meaning here, wrappers are rejected.
"""

from collections.abc import Iterable

from mnp_core._markers import hookspec
from mnp_core.api import (
    AddressSourceSpec,
    CommandSpec,
    GateSpec,
    InterfaceDiscovererSpec,
    Outcome,
    PolicyKindSpec,
    PolicyRendererSpec,
    RuleApplierSpec,
    SandboxLocatorSpec,
    Sync,
)


@hookspec
def mnp_register_interface_discoverers() -> Iterable[InterfaceDiscovererSpec]:  # type: ignore[empty-body] # specs have no body
    """Offer kinds of attachment.

    Returns:
        One spec per discoverer. Two that claim one CNI type are an error that names both distributions.

    Added in 0.1.
    """


@hookspec
def mnp_register_policy_renderers() -> Iterable[PolicyRendererSpec]:  # type: ignore[empty-body] # specs have no body
    """Offer dialects in which policy can be written.

    Returns:
        One spec per dialect; each needs an applier of the same dialect, from this plugin or another.

    Added in 0.1.
    """


@hookspec
def mnp_register_rule_appliers() -> Iterable[RuleApplierSpec]:  # type: ignore[empty-body] # specs have no body
    """Offer ways into the kernel.

    Returns:
        One spec per way; several for one dialect are fine, the one that probes best is used.

    Added in 0.1.
    """


@hookspec
def mnp_register_sandbox_locators() -> Iterable[SandboxLocatorSpec]:  # type: ignore[empty-body] # specs have no body
    """Offer ways to find a pod's network namespace.

    Returns:
        One spec per way.

    Added in 0.1.
    """


@hookspec
def mnp_register_gates() -> Iterable[GateSpec]:  # type: ignore[empty-body] # specs have no body
    """Offer gates, which hold the start of pods until their rules are in force.

    Returns:
        One spec per gate. The setting ``gates`` names those in use.

    Added in 0.1.
    """


@hookspec
def mnp_register_policy_kinds() -> Iterable[PolicyKindSpec]:  # type: ignore[empty-body] # specs have no body
    """Offer kinds of objects that are read as policies, beside MultiNetworkPolicy.

    Returns:
        One spec per kind. All policies of all kinds on one interface form one union (S11).

    Added in 0.1.
    """


@hookspec
def mnp_register_address_sources() -> Iterable[AddressSourceSpec]:  # type: ignore[empty-body] # specs have no body
    """Offer kinds of objects that have the addresses of attachments for which network-status has none.

    Returns:
        One spec per source. The setting ``guest-addresses`` names those in use; no other is read.

    Added in 0.1.
    """


@hookspec
def mnp_register_commands() -> Iterable[CommandSpec]:  # type: ignore[empty-body] # specs have no body
    """Offer subcommands of `mnp`.

    Returns:
        One spec per command; the names of built-in commands are taken.

    Added in 0.1.
    """


@hookspec
def mnp_observe_outcome(outcome: Outcome) -> None:
    """Observe the result of an operation in one sandbox.

    Called on the agent's thread after each attempt; must return soon. Exceptions are logged and dropped.

    Args:
        outcome: Pod, result, time taken, error.

    Added in 0.1.
    """


@hookspec
def mnp_observe_sync(sync: Sync) -> None:
    """Observe the end of a pass: everything that a change affected is done.

    Called on the agent's thread after each pass; must return soon. Exceptions are logged and dropped.

    Args:
        sync: The outcomes of the pass, and the reports that have appeared and vanished in it.

    Added in 0.1.
    """
