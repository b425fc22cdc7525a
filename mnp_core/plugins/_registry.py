"""All plugins of this process behind typed methods: descriptors, load status, products."""

from collections.abc import Mapping, Sequence
from typing import Any

import click

from mnp_core.api import (
    AddressSourceSpec,
    CommandSpec,
    Discovery,
    Gate,
    GateSpec,
    InterfaceDiscoverer,
    InterfaceDiscovererSpec,
    Outcome,
    PolicyKindSpec,
    PolicyRenderer,
    PolicyRendererSpec,
    RuleApplier,
    RuleApplierSpec,
    SandboxLocator,
    SandboxLocatorSpec,
    Support,
    Sync,
)
from mnp_core.classes import frozen
from mnp_core.errors import InputError, PluginError
from mnp_core.model import Attachment, Link
from mnp_core.plugins._catalog import Catalog, Contested, make
from mnp_core.plugins._descriptors import CNI_TYPE, DIALECT, D, ExclusiveName, exclusive_name
from mnp_core.plugins._faults import InvalidPluginError, guarded
from mnp_core.plugins._module import Contents, Offer
from mnp_core.plugins._observers import Observers
from mnp_core.plugins._status import PluginStatus, State


@frozen(kw_only=True)
class _Unavailable:
    """Stands in for a discoverer that cannot be had."""

    reason: str

    def discover(self, claim: Attachment, links: Sequence[Link]) -> Discovery:  # noqa: ARG002 - no link helps
        return Discovery(attachment=claim, unenforceable=self.reason)


class Registry:
    """The offers of the installed plugins. Built once by `load_plugins`, passed down from there.

    Attributes:
        statuses: Every installed plugin, sorted by name.
        discoverers: By name; by CNI type through `discoverer`.
        renderers: By name; by dialect through `renderer`.
        appliers: By name.
        locators: By name.
        gates: By name.
        policy_kinds: By name; their specs are used as they are.
        address_sources: By name; their specs are used as they are.
        commands: By name.
    """

    def __init__(self, contents: Sequence[Contents], contested: Contested, statuses: Sequence[PluginStatus]) -> None:
        self.statuses = tuple(sorted(statuses, key=lambda status: (status.name, status.distribution)))
        offers = [offer for content in contents for offer in content.offers]
        self._observers = Observers(observer for content in contents for observer in content.observers)

        def catalog(kind: type[D]) -> Catalog[D]:
            ours: list[Offer[Any]] = [offer for offer in offers if isinstance(offer.descriptor, kind)]
            return Catalog(kind, ours, contested, self.statuses)

        self.discoverers = catalog(InterfaceDiscovererSpec)
        self.renderers = catalog(PolicyRendererSpec)
        self.appliers = catalog(RuleApplierSpec)
        self.locators = catalog(SandboxLocatorSpec)
        self.gates = catalog(GateSpec)
        self.policy_kinds = catalog(PolicyKindSpec)
        self.address_sources = catalog(AddressSourceSpec)
        self.commands = catalog(CommandSpec)

    @property
    def problems(self) -> tuple[PluginStatus, ...]:
        """Installed plugins that are not wholly in use, without a setting that disables them."""
        return tuple(status for status in self.statuses if status.state not in {State.LOADED, State.DISABLED})

    @property
    def claimed_types(self) -> frozenset[str]:
        """Every CNI type that a loaded plugin claims (S4).

        Those that two plugins claim are among them: the kind of an attachment does not depend on its discoverer
        it, and an interface that is not enforced as it should be is reported, not taken for another kind (S64).
        """
        return self.discoverers.values_claimed(CNI_TYPE)

    def discoverer(self, cni_type: str) -> InterfaceDiscoverer:
        """Make the discoverer that claims a CNI type.

        Raises:
            PluginError: No plugin claims it, several do, or it cannot be made; with the remedy.
        """
        offer = self.discoverers.find(ExclusiveName(CNI_TYPE, cni_type))
        return make(offer, lambda spec: spec.factory(), InterfaceDiscoverer)

    def make_discoverers(self) -> Mapping[str, InterfaceDiscoverer]:
        """A discoverer for each of `claimed_types`.

        For a type whose discoverer fails there is one that reports it for every attachment (S64): a broken
        plugin is reported on each pod that it concerns, and holds up no other.
        """
        return {cni_type: self._discoverer_or_reason(cni_type) for cni_type in sorted(self.claimed_types)}

    def _discoverer_or_reason(self, cni_type: str) -> InterfaceDiscoverer:
        try:
            return self.discoverer(cni_type)
        except PluginError as error:
            return _Unavailable(reason=str(error))

    def renderer(self, dialect: str) -> PolicyRenderer:
        """Make the renderer of a dialect.

        Raises:
            PluginError: As `discoverer`.
        """
        offer = self.renderers.find(ExclusiveName(DIALECT, dialect))
        return make(offer, lambda spec: spec.factory(), PolicyRenderer)

    def applier(self, name: str) -> RuleApplier:
        """Make the applier of that name.

        Raises:
            PluginError: As `discoverer`.
        """
        offer = self.appliers.find(exclusive_name(RuleApplierSpec, name))
        return make(offer, lambda spec: spec.factory(), RuleApplier)

    def probe(self, name: str, applier: RuleApplier) -> Support:
        """Ask the applier of that name whether it works here; one that raises does not."""
        try:
            with guarded(f"the probe of applier {name!r} failed"):
                support: object = applier.probe()
        except InvalidPluginError as error:
            return Support(usable=False, detail=str(error))
        if isinstance(support, Support):
            return support
        return Support(usable=False, detail=f"the probe of applier {name!r} gave {support!r:.80}, not a Support")

    def locator(self, name: str, settings: Mapping[str, str]) -> SandboxLocator:
        """Make the locator of that name, with the settings that are meant for it.

        Raises:
            PluginError: As `discoverer`.
        """
        offer = self.locators.find(exclusive_name(SandboxLocatorSpec, name))
        return make(offer, lambda spec: spec.factory(settings), SandboxLocator)

    def gate(self, name: str, settings: Mapping[str, str]) -> Gate:
        """Make the gate of that name, with the settings that are meant for it.

        Raises:
            PluginError: As `discoverer`.
        """
        offer = self.gates.find(exclusive_name(GateSpec, name))
        return make(offer, lambda spec: spec.factory(settings), Gate)

    def addresses_from(self, names: Sequence[str]) -> tuple[AddressSourceSpec, ...]:
        """The address sources of these names, in their order.

        Raises:
            PluginError: There is none of a name; with the remedy.
            InputError: Two of them read one kind of object, or one reads a kind of policy.
        """
        sources = tuple(self.address_sources.require(name) for name in names)
        taken = {spec.kind: f"policy kind {spec.name!r}" for spec in self.policy_kinds.values()}
        for source in sources:
            if source.kind in taken:
                problem = f"{source.name!r} reads {source.kind}, as {taken[source.kind]} does: leave one of them out"
                raise InputError(problem, field="guest-addresses")
            taken[source.kind] = repr(source.name)
        return sources

    def command(self, name: str) -> click.Command:
        """Make the `mnp` subcommand of that name.

        Raises:
            PluginError: As `discoverer`.
        """
        offer = self.commands.find(exclusive_name(CommandSpec, name))
        return make(offer, lambda spec: spec.factory(), click.Command)

    def observe_outcome(self, outcome: Outcome) -> None:
        """Notify all observers of an outcome; never raises but for Ctrl-C."""
        self._observers.tell("mnp_observe_outcome", outcome)

    def observe_sync(self, sync: Sync) -> None:
        """Notify all observers of the end of a pass; never raises but for Ctrl-C."""
        self._observers.tell("mnp_observe_sync", sync)
