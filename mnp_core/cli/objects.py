"""What manifests say, worked out without a cluster and without privileges.

Pods that carry no network-status get the addresses that the lab would give them, so that what is said offline is what
`mnp lab run` shows.
"""

from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from attrs import evolve, frozen

from mnp_core.agent.world import World
from mnp_core.errors import InputError
from mnp_core.lab.plan import plan_lab
from mnp_core.model import (
    Address,
    Attachment,
    Change,
    Namespace,
    Network,
    ObjectName,
    ObjectRef,
    Pod,
    Policy,
    Reason,
    Report,
)
from mnp_core.plugins import Registry
from mnp_core.policy.attachments import claim_attachments
from mnp_core.policy.explain import Host
from mnp_core.policy.validate import validate
from mnp_core.settings import Settings
from mnp_core.sources.decode import Decoder
from mnp_core.sources.manifests import Document, load_documents

_T = TypeVar("_T", Pod, Policy, Namespace, Network)


@frozen(kw_only=True, slots=False)
class Objects:
    """The objects of some manifests.

    Attributes:
        changes: Each object, and what is wrong with it by itself.
        settings: The node's settings.
        claimed: The CNI types that are policed (S4).
        flaws: What is wrong with the manifests as a whole.
    """

    changes: tuple[Change, ...]
    settings: Settings
    claimed: frozenset[str]
    flaws: tuple[Report, ...] = ()

    @cached_property
    def world(self) -> World:
        """What follows from them for every pod."""
        world = World(common=self.settings.common, claimed=self.claimed)
        world.apply(self.changes)
        return world

    @property
    def pods(self) -> dict[ObjectName, Pod]:
        """The pods by name."""
        return {pod.name: pod for pod in self._of(Pod)}

    @cached_property
    def networks(self) -> Mapping[ObjectName, Network]:
        """The network attachment definitions by name."""
        return {network.name: network for network in self._of(Network)}

    def host(self, name: ObjectName) -> Host:
        """A pod as one end of a flow.

        Raises:
            InputError: There is no such pod.
        """
        pod = self.pods.get(name)
        if pod is None:
            known = ", ".join(map(str, sorted(self.pods))) or "no pods at all"
            raise InputError(f"there is no pod {name}: the manifests have {known:.500}")
        return Host(pod=name, attachments=self._attachments(pod), sandbox=self.world.sandbox_policy(name))

    def owners(self, address: Address) -> tuple[Host, ...]:
        """The pods that have an address, each as if it had no other."""
        return tuple(
            Host(pod=name, attachments=(evolve(attachment, addresses=(address,)),), sandbox=sandbox)
            for name, pod in self.pods.items()
            for attachment in self._attachments(pod)
            if address in attachment.addresses
            for sandbox in [self.world.sandbox_policy(name)]
        )

    def _attachments(self, pod: Pod) -> tuple[Attachment, ...]:
        return claim_attachments(pod, self.networks, self.claimed).peers

    def reports(self) -> tuple[Report, ...]:
        """Everything that is wrong, with single objects and with all of them together."""
        alone = (report for change in self.changes for report in change.reports)
        together = validate(
            policies=self._of(Policy),
            pods=self._of(Pod),
            namespaces=self._of(Namespace),
            networks=self._of(Network),
            claimed=self.claimed,
        )
        return tuple(sorted({*self.flaws, *alone, *together, *self.world.reports()}))

    def _of(self, kind: type[_T]) -> list[_T]:
        return [change.object for change in self.changes if isinstance(change.object, kind)]


def read_objects(paths: Iterable[Path], registry: Registry, settings: Settings) -> Objects:
    """Read manifests, and work out addresses as the lab would.

    Raises:
        InputError: They cannot be read, or do not fit together.
    """
    return _decode_planned(load_documents(paths), registry, settings)


def _decode_planned(documents: Iterable[Document], registry: Registry, settings: Settings) -> Objects:
    """With the addresses that the lab would give; a pod that it cannot give any to is a flaw, alone (S6)."""
    plan = plan_lab(documents)
    return evolve(decode_objects(plan.documents, registry, settings), flaws=plan.reports)


def decode_objects(documents: Iterable[Document], registry: Registry, settings: Settings) -> Objects:
    """Understand manifests whose pods have their addresses."""
    decoder = Decoder(tuple(registry.policy_kinds.values()))
    return Objects(
        changes=decoder.decode_all(document.raw for document in documents),
        settings=settings,
        claimed=settings.police(registry.claimed_types),
    )


def read_flawed_objects(paths: Iterable[Path], registry: Registry, settings: Settings) -> Objects:
    """Read manifests that may not fit together: that is a flaw to report, and each is looked at all the same.

    Raises:
        InputError: One cannot be read at all.
    """
    documents = load_documents(paths)
    try:
        return _decode_planned(documents, registry, settings)
    except InputError as error:
        return evolve(decode_objects(documents, registry, settings), flaws=(_flaw(error),))


def _flaw(error: InputError) -> Report:
    return Report(
        about=ObjectRef("Manifest", ObjectName("", error.where)),
        field=error.field,
        reason=Reason.MALFORMED,
        message=error.message,
        remedy="Correct it: until then pods get no addresses, and what depends on those is not checked",
    )
