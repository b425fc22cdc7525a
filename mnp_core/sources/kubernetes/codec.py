"""Decoding of API server answers: pages of lists, events of watches, objects.

An answer of another shape is never taken for an empty one: that would delete every policy. An object of
which only the head can be read is an object that cannot be read, and harms no other (S6).
"""

from typing import Any, TypedDict, TypeVar

import msgspec

from mnp_core.classes import frozen
from mnp_core.errors import ApiError, ApiUnreachableError
from mnp_core.model.parsing import (
    DEFAULT_NETWORK,
    IPAM_CLAIM,
    MIRROR,
    NETWORK_STATUS,
    NETWORK_STATUS_OF_OLD,
    NETWORKS,
    VIRTUAL_MACHINE,
)

Raw = dict[str, Any]

_Shape = TypeVar("_Shape")


class GarbledError(ApiUnreachableError):
    """The server answers, but not as an API server does."""


# --- objects ----------------------------------------------------------------------------------------------------


class Metadata(msgspec.Struct, frozen=True):
    """The part of ``metadata`` that identifies the object and its state."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    version: str = msgspec.field(default="", name="resourceVersion")


class Head(msgspec.Struct, frozen=True):
    """The head of an object."""

    metadata: Metadata


class _Container(TypedDict, total=False):
    ports: Any
    restartPolicy: Any
    securityContext: Any


class _Spec(TypedDict, total=False):
    nodeName: Any
    hostNetwork: Any
    containers: list[_Container] | None
    initContainers: list[_Container] | None
    ephemeralContainers: list[_Container] | None


class _Status(TypedDict, total=False):
    phase: Any
    podIP: Any
    podIPs: Any


# A name that is no identifier needs this spelling.
_Annotations = TypedDict(
    "_Annotations",
    {NETWORK_STATUS: Any, NETWORK_STATUS_OF_OLD: Any, NETWORKS: Any, DEFAULT_NETWORK: Any, MIRROR: Any},  # type: ignore[misc] # no literals
    total=False,
)


class _Metadata(TypedDict, total=False):
    name: Any
    namespace: Any
    uid: Any
    deletionTimestamp: Any
    labels: Any
    annotations: _Annotations | None


class _Pod(TypedDict, total=False):
    metadata: _Metadata
    spec: _Spec
    status: _Status


class _RecordMetadata(TypedDict, total=False):
    name: Any
    namespace: Any
    uid: Any


class _MachineNetwork(TypedDict, total=False):
    name: Any
    multus: Any


class _MachineSpec(TypedDict, total=False):
    networks: list[_MachineNetwork] | None


class _MachineInterface(TypedDict, total=False):
    name: Any
    infoSource: Any
    ipAddress: Any
    ipAddresses: Any
    podInterfaceName: Any
    mac: Any


class _MachineStatus(TypedDict, total=False):
    interfaces: list[_MachineInterface] | None


class _Machine(TypedDict, total=False):
    metadata: _RecordMetadata
    spec: _MachineSpec
    status: _MachineStatus


class _ClaimSpec(TypedDict, total=False):
    interface: Any


class _ClaimStatus(TypedDict, total=False):
    ips: Any


class _Claim(TypedDict, total=False):
    metadata: _RecordMetadata
    spec: _ClaimSpec
    status: _ClaimStatus


_head = msgspec.json.Decoder(Head)
_whole = msgspec.json.Decoder(Raw)
_slim: dict[str, msgspec.json.Decoder[Any]] = {
    "Pod": msgspec.json.Decoder(_Pod),
    VIRTUAL_MACHINE: msgspec.json.Decoder(_Machine),
    IPAM_CLAIM: msgspec.json.Decoder(_Claim),
}
"""Kinds whose shape the API server checks, and of which most is nothing to us: it is not even decoded."""


def read_head(raw: bytes | msgspec.Raw) -> Metadata:
    """Which object it is.

    Raises:
        GarbledError: It has no name or no version, as every object of an API server has.
    """
    metadata = _decoded(_head, raw).metadata
    if not metadata.name or not metadata.version:
        raise GarbledError("an object has no name or no resourceVersion")
    return metadata


def read_object(raw: bytes | msgspec.Raw, kind: str) -> Raw | None:
    """The object as parsers take it; None if it cannot be decoded."""
    for decoder in filter(None, (_slim.get(kind), _whole)):
        try:
            found: Raw = decoder.decode(raw)
        except (msgspec.MsgspecError, RecursionError, UnicodeError):
            continue
        return found
    return None


class _BigSpec(msgspec.Struct, omit_defaults=True, rename="camel"):
    pod_selector: Any = None
    policy_types: Any = None
    egress: msgspec.Raw = msgspec.Raw(b"null")


class _BigPolicy(msgspec.Struct, omit_defaults=True):
    metadata: Any = None
    spec: _BigSpec = msgspec.field(default_factory=_BigSpec)


_big = msgspec.json.Decoder(_BigPolicy)
_NOTHING = (b"null", b"[]")


def read_without_rules(raw: bytes | msgspec.Raw) -> Raw | None:
    """A policy that is too big to be read: its isolation without rules; None if it cannot be decoded."""
    try:
        found = _big.decode(raw)
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        return None
    types = ["Ingress"] if bytes(found.spec.egress) in _NOTHING else ["Ingress", "Egress"]
    spec = {"podSelector": found.spec.pod_selector, "policyTypes": found.spec.policy_types or types}
    return {"metadata": found.metadata, "spec": spec}


# --- lists ------------------------------------------------------------------------------------------------------


class _ListMetadata(msgspec.Struct):
    version: str = msgspec.field(default="", name="resourceVersion")
    continue_: str | None = msgspec.field(default="", name="continue")


class _List(msgspec.Struct):
    api_version: str = msgspec.field(name="apiVersion")
    kind: str
    metadata: _ListMetadata
    items: list[msgspec.Raw] | None


@frozen
class Page:
    """A part of a list.

    Attributes:
        items: Objects, not yet decoded.
        version: The resourceVersion of the list.
        rest: Token that continues it; empty if this is the end.
    """

    items: list[msgspec.Raw]
    version: str
    rest: str


_list = msgspec.json.Decoder(_List)


def read_page(body: bytes, api_version: str) -> Page:
    """Read a page of a list.

    Raises:
        GarbledError: It is not a list of this API version.
    """
    found = _decoded(_list, body)
    if found.api_version != api_version or not found.kind.endswith("List") or not found.metadata.version:
        raise GarbledError(f"a list of {api_version} was asked for, {found.api_version:.80} {found.kind:.80} came")
    return Page(found.items or [], found.metadata.version, found.metadata.continue_ or "")


def is_older(version: str, than: str) -> bool:
    """Whether a resourceVersion is older than another; False if they are no numbers (KEP-5504: they are)."""
    return version.isdecimal() and than.isdecimal() and int(version) < int(than)


# --- watches ----------------------------------------------------------------------------------------------------


class Event(msgspec.Struct):
    """A line of a watch: ADDED, MODIFIED, DELETED, BOOKMARK; ERROR is raised."""

    type: str
    object: msgspec.Raw


class _Failure(msgspec.Struct):
    code: int = 0
    reason: str = ""
    message: str = ""


_event = msgspec.json.Decoder(Event)
_failure = msgspec.json.Decoder(_Failure)
_TYPES = frozenset({"ADDED", "MODIFIED", "DELETED", "BOOKMARK"})


def read_event(line: bytes) -> Event:
    """Read a line of a watch.

    Raises:
        GarbledError: It is not one.
        ApiError: The event reports a failed watch.
    """
    event = _decoded(_event, line)
    if event.type == "ERROR":
        failure = _decoded(_failure, event.object)
        raise ApiError(failure.code, failure.reason, failure.message)
    if event.type not in _TYPES:
        raise GarbledError(f"a watch has no event {event.type:.80}")
    return event


def bookmark_version(event: Event) -> str:
    """The resourceVersion up to which a watch is complete. A bookmark's object has no name."""
    version = _decoded(_head, event.object).metadata.version
    if not version:
        raise GarbledError("a bookmark has no resourceVersion")
    return version


def _decoded(decoder: "msgspec.json.Decoder[_Shape]", raw: bytes | msgspec.Raw) -> _Shape:
    try:
        return decoder.decode(raw)
    except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
        raise GarbledError(f"the answer makes no sense ({error})") from error
