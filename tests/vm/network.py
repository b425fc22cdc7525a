"""Three pods on networks of real devices, and their rules."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import cached_property

from attrs import evolve

from mnp_core.backend import Backend
from mnp_core.closing import Closing
from mnp_core.model import Attachment, Policy, SandboxPolicy
from mnp_core.sandbox.netns import run_inside
from mnp_core.testing.cluster import Cluster
from mnp_core.testing.netns import End, private_namespace
from tests.vm.conversations import Conversations, Place, Question, questions
from tests.vm.corpus import ADDRESSES, OUTSIDE, PODS, attached, cluster
from tests.vm.devices import Kind

Enforce = Callable[[Iterable[Policy]], Mapping[str, SandboxPolicy]]
"""Compiles policies and puts them into force; returns what is in force in each pod."""


class PodNetwork(Closing):
    """The pods of the corpus, attached to a network of each kind, all with the same addresses; outside too."""

    def __init__(self, kinds: Sequence[Kind]) -> None:
        self._cleanup = ExitStack()
        self.networks = tuple(attached(number, kind.cni_type) for number, kind in enumerate(kinds, start=1))
        self.pods = {name: self._cleanup.enter_context(private_namespace()) for name in PODS}
        self.places: list[Place] = []
        self._devices: dict[tuple[str, str], str] = {}
        try:
            for kind, network in zip(kinds, self.networks, strict=True):
                self._attach(kind, network.interface)
        except BaseException:
            self.close()
            raise

    def _attach(self, kind: Kind, interface: str) -> None:
        outside = self._cleanup.enter_context(private_namespace())
        ends = {
            name: End(sandbox, interface, (f"{ADDRESSES[name][0]}/24", f"{ADDRESSES[name][1]}/64"))
            for name, sandbox in (*self.pods.items(), (OUTSIDE, outside))
        }
        devices = kind.attach(self._cleanup, [ends[name] for name in PODS], ends[OUTSIDE])
        self._devices |= {(name, interface): device for name, device in zip(PODS, devices, strict=False)}
        self.places += [Place(name, end.sandbox, interface, a) for name, end in ends.items() for a in ADDRESSES[name]]

    @cached_property
    def conversations(self) -> Conversations:
        """All pods listen from the first question on."""
        return self._cleanup.enter_context(Conversations(self.places))

    @cached_property
    def questions(self) -> list[Question]:
        """Everything that can be asked on each network."""
        return questions(self.places)

    def claims(self, pod: str) -> list[Attachment]:
        """A pod's attachments as its network-status claims them, device-info included."""
        claims = self.cluster().claims(pod).enforced
        return [evolve(claim, device=self._devices.get((pod, claim.interface), "")) for claim in claims]

    def cluster(self, policies: Iterable[Policy] = ()) -> Cluster:
        """Pods and networks as objects, with these policies."""
        return cluster(self.networks, policies)

    @contextmanager
    def enforced(self, backend: Backend) -> Iterator[Enforce]:
        """Policies can be put into force in all pods, each set in place of the last; at the end nothing is in force."""

        def enforce(policies: Iterable[Policy]) -> Mapping[str, SandboxPolicy]:
            state = self.cluster(policies)
            rules = {name: state.sandbox(name) for name in self.pods}
            for name, sandbox in self.pods.items():
                ruleset = backend.renderer.render(rules[name])
                run_inside(sandbox, lambda ruleset=ruleset: backend.applier.apply(ruleset))
            return rules

        try:
            yield enforce
        finally:
            for sandbox in self.pods.values():
                run_inside(sandbox, backend.applier.remove)

    def close(self) -> None:
        self._cleanup.close()
