"""The cluster as a review needs it: kept up by watches, read as a view that does not change any more."""

import threading
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import TypeVar

from attrs import evolve, field

from mnp_core.classes import frozen
from mnp_core.errors import InputError
from mnp_core.model import Change, Namespace, Network, ObjectName, ObjectRef, Pod, Policy
from mnp_core.model.kinds import NETWORK
from mnp_core.offline.definition import parse_definition
from mnp_core.offline.facts import network_facts
from mnp_core.policy.attachments import claim_attachments
from mnp_core.policy.lint import NetworkFacts, Snapshot
from mnp_core.policy.validate import Candidate
from mnp_core.sources.decode import Decoder
from mnp_core.sources.kubernetes.codec import read_object
from mnp_core.sources.manifests import Document

Key = TypeVar("Key")
Value = TypeVar("Value")


@frozen(kw_only=True)
class KnownNetwork:
    """A network attachment definition.

    Attributes:
        network: It.
        facts: Its configuration; None if that cannot be read.
    """

    network: Network
    facts: NetworkFacts | None = None


def read_network(raw: bytes) -> KnownNetwork | None:
    """Read a definition as the API server gives it; None if it cannot be understood."""
    found = read_object(raw, NETWORK.kind)
    if found is None:
        return None
    typed = {**found, "apiVersion": f"{NETWORK.group}/{NETWORK.versions[0]}", "kind": NETWORK.kind}
    change = Decoder().decode(typed)
    if change is None or not isinstance(change.object, Network):
        return None
    facts = None
    with suppress(InputError, RecursionError):  # reported by those who make the interfaces
        facts = network_facts(parse_definition(Document(where="the cluster", raw=typed)))
    return KnownNetwork(network=change.object, facts=facts)


@frozen(kw_only=True)
class View:
    """The cluster at one moment.

    Attributes:
        policies: All policies.
        networks: All network attachment definitions.
        namespaces: All namespaces.
        candidates: All pods, with their attachments.
    """

    policies: Mapping[ObjectRef, Policy] = field(factory=dict)
    networks: Mapping[ObjectName, KnownNetwork] = field(factory=dict)
    namespaces: tuple[Namespace, ...] = ()
    candidates: tuple[Candidate, ...] = ()

    @property
    def definitions(self) -> dict[ObjectName, Network]:
        """The definitions by name."""
        return {name: known.network for name, known in self.networks.items()}

    def with_network(self, name: ObjectName, known: KnownNetwork) -> "View":
        """The view with one more network, on which there are no pods yet."""
        return evolve(self, networks={**self.networks, name: known})

    def snapshot(self, policy: Policy, raw: Mapping[str, object]) -> Snapshot:
        """What rules look at, with a policy as it is about to be."""
        policies = {**self.policies, policy.ref: policy}
        return Snapshot(
            policies=tuple(policies.values()),
            pods=tuple(candidate.pod for candidate in self.candidates),
            attachments={candidate.pod.name: candidate.claims.peers for candidate in self.candidates},
            namespaces=self.namespaces,
            networks=frozenset(self.networks),
            facts={name: known.facts for name, known in self.networks.items() if known.facts is not None},
            written={policy.ref: raw},
            complete=True,
        )


class KnownCluster:
    """The present objects. Thread-safe: each watch delivers on a thread of its own."""

    def __init__(self, claimed: Collection[str]) -> None:
        """Begin with nothing; `claimed` are the CNI types that are enforced (S4)."""
        self._claimed = claimed
        self._lock = threading.Lock()
        self._policies: dict[ObjectRef, Policy] = {}
        self._networks: dict[ObjectName, KnownNetwork] = {}
        self._namespaces: dict[str, Namespace] = {}
        self._pods: dict[ObjectName, Pod] = {}
        self._candidates: dict[ObjectName, Candidate] = {}  # those that nothing has changed for
        self._view: View | None = None

    def put(self, changes: Sequence[Change], _received_at: float) -> None:
        """Take pods, namespaces and policies in their present states."""
        with self._lock:
            for change in changes:
                self._put(change)
            self._view = None

    def put_network(self, name: ObjectName, raw: bytes | None) -> None:
        """Take a network attachment definition; None if it is gone."""
        known = read_network(raw) if raw is not None else None
        with self._lock:
            if known is not None:
                self._networks[name] = known
            else:
                self._networks.pop(name, None)
            self._candidates.clear()
            self._view = None

    def view(self) -> View:
        """The cluster as it is now."""
        with self._lock:
            if self._view is None:
                self._view = self._make_view()
            return self._view

    def _put(self, change: Change) -> None:
        match change.ref.kind:
            case "Pod":
                self._candidates.pop(change.ref.name, None)
                _replace(self._pods, change.ref.name, change.object if isinstance(change.object, Pod) else None)
            case "Namespace":
                name = change.ref.name.name
                _replace(self._namespaces, name, change.object if isinstance(change.object, Namespace) else None)
                self._candidates = {pod: each for pod, each in self._candidates.items() if pod.namespace != name}
            case _:
                _replace(self._policies, change.ref, change.object if isinstance(change.object, Policy) else None)

    def _make_view(self) -> View:
        networks = {name: known.network for name, known in self._networks.items()}
        for name in self._pods.keys() - self._candidates.keys():
            pod, namespace = self._pods[name], self._namespaces.get(name.namespace)
            claims = claim_attachments(pod, networks, self._claimed)
            labels = namespace.labels if namespace is not None else {}
            self._candidates[name] = Candidate(pod=pod, claims=claims, namespace_labels=labels)
        return View(
            policies=dict(self._policies),
            networks=dict(self._networks),
            namespaces=tuple(self._namespaces.values()),
            candidates=tuple(self._candidates.values()),
        )


def _replace(mapping: dict[Key, Value], key: Key, value: Value | None) -> None:
    if value is None:
        mapping.pop(key, None)
    else:
        mapping[key] = value
