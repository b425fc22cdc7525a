"""A cluster as a stream of changes."""

from collections.abc import Sequence

from mnp_core.api import AddressSourceSpec, PolicyKindSpec
from mnp_core.kubeapi import ApiServer
from mnp_core.lasting import LastingThread
from mnp_core.model import ObjectRef
from mnp_core.model.budget import Budgets
from mnp_core.model.kinds import POD, POLICY
from mnp_core.sources.decode import Decoder
from mnp_core.sources.kubernetes.backoff import WatchTiming
from mnp_core.sources.kubernetes.observer import ObjectIdentity, SourceObserver
from mnp_core.sources.kubernetes.resource import resources
from mnp_core.sources.kubernetes.store import PodStore, RecordStore, Store, Token
from mnp_core.sources.kubernetes.watcher import Deliver, Watcher
from mnp_core.sources.kubernetes.watchers import Watchers


class KubernetesSource:
    """Pods, namespaces, network definitions, policies and address records of a cluster, each kind on a thread."""

    def __init__(
        self,
        api: ApiServer,
        kinds: Sequence[PolicyKindSpec],
        deliver: Deliver,
        observer: SourceObserver,
        timing: WatchTiming = WatchTiming(),  # noqa: B008 # a frozen value
        largest_policy: int = Budgets().policy.bytes,
        token: Token | None = None,
        address_sources: Sequence[AddressSourceSpec] = (),
    ) -> None:
        """Prepare; nothing is asked until `start`.

        Args:
            api: Where the objects are.
            kinds: Kinds of policy that plugins add.
            deliver: Called with changes, and with `time.monotonic()` of when the first byte of the news had come; on
                several threads at once, but never at once for objects of one kind. Exceptions are logged, and the
                changes are delivered again later.
            observer: Observes the watches.
            timing: When to ask again.
            largest_policy: Bytes; the rules of a policy with more are not read.
            token: Makes the tokens of MultiNetworkPolicies; None if nobody asks for them.
            address_sources: Kinds of address record to read.
        """
        decode = Decoder(kinds, address_sources).decode
        records = {source.kind for source in address_sources}

        def store(kind: str) -> Store:
            if kind in records:
                return RecordStore(kind, decode)
            if kind == POD.kind:
                return PodStore(kind, decode)
            return Store(kind, decode, largest_policy, token if kind == POLICY.kind else None)

        self._watchers = Watchers(
            Watcher(api, resource, store(resource.kind), deliver, observer, timing)
            for resource in resources(kinds, address_sources)
        )

    def start(self) -> None:
        """Begin to list and watch."""
        self._watchers.start()

    def stop(self) -> None:
        """End all threads, also those that wait for the server. Nothing is delivered from then on."""
        self._watchers.stop()

    @property
    def threads(self) -> tuple[LastingThread, ...]:
        """One for each kind."""
        return self._watchers.threads

    @property
    def complete(self) -> bool:
        """Whether every kind was read once, or is known not to be served. Unknown objects may exist until then."""
        return self._watchers.complete

    @property
    def waiting(self) -> tuple[str, ...]:
        """The reason for each kind that is not watched at this moment, one sentence each."""
        sentences = ((watcher.resource.kind, watcher.waiting) for watcher in self._watchers)
        return tuple(f"{kind}: {sentence}" for kind, sentence in sentences if sentence)

    def identity(self, ref: ObjectRef) -> ObjectIdentity | None:
        """The identity of an object for an Event; None if it is not there. On any thread."""
        watcher = self._watchers.get(ref.kind)
        return watcher.store.identity(ref.name) if watcher is not None else None
