"""Which version of a resource is served, if any.

"Not served" means that there are no such objects, and opens what their policies closed. So it is believed only on
positive evidence: a ready server that lists its API groups, and this one is not among them. No error, no page of a
proxy and no server that is still starting is such evidence. Those lists follow etcd with a delay; that there is no
CustomResourceDefinition of a kind is etcd's own answer.
"""

from collections.abc import Callable
from typing import TypeVar

import msgspec

from mnp_core.errors import ApiError
from mnp_core.sources.kubernetes.codec import GarbledError
from mnp_core.sources.kubernetes.resource import Resource

_DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"

Fetch = Callable[[str], bytes]

_Shape = TypeVar("_Shape")


class _Version(msgspec.Struct):
    version: str


class _Group(msgspec.Struct):
    name: str
    versions: list[_Version]


class _Groups(msgspec.Struct, tag_field="kind", tag="APIGroupList"):
    groups: list[_Group]


class _Resource(msgspec.Struct):
    name: str


class _Resources(msgspec.Struct, tag_field="kind", tag="APIResourceList"):
    group_version: str = msgspec.field(name="groupVersion")
    resources: list[_Resource]


# Made once, at import: msgspec works a type out when it first decodes to it, and crashes if two threads do at once.
_groups = msgspec.json.Decoder(_Groups)
_resources = msgspec.json.Decoder(_Resources)


def served_version(fetch: Fetch, resource: Resource) -> str | None:
    """The first version of a resource that the server serves; None if it serves none.

    Raises:
        ApiError: The server does not say, or is not ready to say.
        ApiUnreachableError: It does not answer, or not as an API server.
    """
    if not resource.group:
        return resource.versions[0]  # the core is always there
    known = _versions(fetch, resource.group)
    served = (v for v in resource.versions if v in known and resource.plural in _plurals(fetch, resource, v))
    if (version := next(served, None)) is None:
        _check_ready(fetch)
    return version


def is_undefined(fetch: Fetch, resource: Resource) -> bool:
    """Whether there is no CustomResourceDefinition of a resource, and so no object of it.

    A request for one object without a resourceVersion is answered from etcd (Kubernetes API concepts, "Resource
    versions"). A server that refuses the request has proved nothing.
    """
    name = f"{resource.plural}.{resource.group}"
    try:
        fetch(f"{_DEFINITIONS}/{name}")
    except ApiError as error:  # a server that does not know the path answers without a reason
        return error.status == 404 and error.reason == "NotFound" and name in error.message
    return False


def _versions(fetch: Fetch, group: str) -> frozenset[str]:
    groups = _decoded(fetch("/apis"), _groups).groups
    return frozenset(version.version for each in groups if each.name == group for version in each.versions)


def _plurals(fetch: Fetch, resource: Resource, version: str) -> frozenset[str]:
    found = _decoded(fetch(f"/apis/{resource.api_version(version)}"), _resources)
    if found.group_version != resource.api_version(version):
        raise GarbledError(f"resources of {found.group_version:.80} came for {resource.api_version(version)}")
    return frozenset(each.name for each in found.resources)


def _check_ready(fetch: Fetch) -> None:
    """A server that starts does not know of custom resources yet. One that may not be asked is believed."""
    try:
        fetch("/readyz")
    except ApiError as error:
        if error.status not in (401, 403, 404):
            raise


def _decoded(body: bytes, decoder: msgspec.json.Decoder[_Shape]) -> _Shape:
    try:
        return decoder.decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
        raise GarbledError(f"the server's list of its resources is malformed ({error})") from error
