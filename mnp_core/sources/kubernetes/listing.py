"""The objects of a cluster at one moment, for commands that judge them: lists without watches.

Each kind is a list of its own, so that the kinds may be of moments that are seconds apart.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence

from attrs import field

from mnp_core.classes import define, frozen
from mnp_core.errors import ApiError, UnsupportedError
from mnp_core.kubeapi import ApiServer
from mnp_core.kubeapi.server import TooLargeError
from mnp_core.sources.kubernetes.codec import GarbledError, Page, read_object, read_page
from mnp_core.sources.kubernetes.discovery import served_version
from mnp_core.sources.kubernetes.resource import Resource
from mnp_core.sources.manifests import Document

PAGE_SIZE = 500
"""Objects in one answer, unless they are large."""

MOST_BYTES = 2 * 1024**3
"""Of all answers about a cluster: some 200,000 pods. Decoded, they need a part of that."""

_WHERE = "the cluster"
_TRIES = 4  # of one request
_LONGEST_PAUSE = 5.0  # seconds before the next try
_BUSY = frozenset({429, 500, 502, 503, 504})
_EXPIRED = 410


@frozen(kw_only=True)
class Listed:
    """The objects of a cluster.

    Attributes:
        documents: The objects; of pods the fields that are read.
        unserved: The resources that the cluster does not have, by plural.
    """

    documents: tuple[Document, ...]
    unserved: tuple[str, ...]


def list_objects(
    api: ApiServer,
    resources: Iterable[Resource],
    sleep: Callable[[float], None] = time.sleep,
    most_bytes: int = MOST_BYTES,
) -> Listed:
    """List resources in all namespaces.

    Args:
        api: The API server.
        resources: The resources.
        sleep: Waits so many seconds before another try.
        most_bytes: Bytes of all answers.

    Raises:
        ApiError: The server refuses; if permissions are missing, the message names all of them.
        ApiUnreachableError: It does not answer, or not as an API server.
        UnsupportedError: The cluster is too large.
    """
    listing = _Listing(api, sleep, most_bytes)
    documents, unserved, refused = [], [], []
    for resource in resources:
        try:
            version = served_version(listing.get, resource)
            if version is None:
                unserved.append(resource.plural)
            else:
                documents += listing.objects(resource, version)
        except ApiError as error:
            if error.status != 403:
                raise _explained(error) from None
            refused.append(resource)
    if refused:
        raise _forbidden(refused)
    return Listed(documents=tuple(documents), unserved=tuple(unserved))


@define
class _Listing:
    """Requests about one cluster."""

    _api: ApiServer
    _sleep: Callable[[float], None]
    _left: int
    _page_size: int = field(default=PAGE_SIZE, init=False)

    def get(self, path: str, params: dict[str, str] | None = None) -> bytes:
        """An answer; a server that is busy is asked again."""
        for _ in range(_TRIES - 1):
            try:
                return self._counted(self._api.get(path, params))
            except ApiError as error:
                if error.status not in _BUSY:
                    raise
                self._sleep(min(error.retry_after or 1.0, _LONGEST_PAUSE))
        return self._counted(self._api.get(path, params))

    def objects(self, resource: Resource, version: str) -> list[Document]:
        """A whole list; begun anew if the server has forgotten the beginning of it."""
        for _ in range(_TRIES - 1):
            try:
                return list(self._objects(resource, version))
            except ApiError as error:
                if error.status != _EXPIRED:
                    raise
        return list(self._objects(resource, version))

    def _objects(self, resource: Resource, version: str) -> Iterator[Document]:
        rest, first = "", True
        while first or rest:
            page = self._page(resource, version, rest)
            rest, first = page.rest, False
            for raw in page.items:
                found = read_object(raw, resource.kind)
                if found is None:
                    raise GarbledError(f"one of the {resource.plural} cannot be decoded")
                typed = {**found, "apiVersion": resource.api_version(version), "kind": resource.kind}
                yield Document(where=_WHERE, raw=typed)

    def _page(self, resource: Resource, version: str, rest: str) -> Page:
        """A page; smaller ones from now on if it is too large."""
        while True:
            params = {**resource.params, "limit": str(self._page_size), **({"continue": rest} if rest else {})}
            try:
                return read_page(self.get(resource.path(version), params), resource.api_version(version))
            except TooLargeError:
                if self._page_size == 1:
                    raise
                self._page_size = max(1, self._page_size // 4)

    def _counted(self, body: bytes) -> bytes:
        self._left -= len(body)
        if self._left < 0:
            raise UnsupportedError(
                "the cluster has more objects than can be judged at once: dump the namespaces that matter"
                " (kubectl get ... --output json), and name the file"
            )
        return body


def _explained(error: ApiError) -> ApiError:
    if error.status != 401:
        return error
    remedy = "log in again, or choose another context (--context)"
    return ApiError(error.status, error.reason, f"it does not know who you are: {remedy} ({error.message})")


def _forbidden(refused: Sequence[Resource]) -> ApiError:
    """The error that names every missing right, as a rule of RBAC."""
    names = ", ".join(f"{each.plural}.{each.group}".rstrip(".") for each in refused)
    rules = "; ".join(f'apiGroups: ["{each.group}"], resources: ["{each.plural}"], verbs: ["list"]' for each in refused)
    message = (
        f"you may not list {names} in all namespaces: ask for a ClusterRole with the rules {rules},"
        " such as mnp-reader of deploy/kustomize/components/reader"
    )
    return ApiError(403, "Forbidden", message)
