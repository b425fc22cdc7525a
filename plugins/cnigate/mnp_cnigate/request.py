"""A request of the CNI plugin (README.md, "Protocol"). Everything in it may be hostile."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Final

from attrs import frozen

from mnp_core.api import GateInterface, PodStart
from mnp_core.errors import InputError
from mnp_core.model import Address, ObjectName, parse_address

_ASK: Final = frozenset({"CHECK", "STATUS"})  # only whether the agent is there

_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?", re.ASCII)
_MAC: Final = re.compile(r"([0-9a-f]{2}:){5,31}[0-9a-f]{2}", re.ASCII)
_MOST_ADDRESSES: Final = 256
_LONGEST: Final = 4096


@frozen(kw_only=True)
class Request:
    """A call of the CNI plugin.

    Attributes:
        verb: CNI_COMMAND.
        seconds: The plugin's patience.
        container: CNI_CONTAINERID; for ADD and DEL.
        interface: CNI_IFNAME; for ADD and DEL.
        start: For ADD; else None.
    """

    verb: str
    seconds: float
    container: str = ""
    interface: str = ""
    start: PodStart | None = None


def parse_request(body: bytes) -> Request:
    """Understand a request.

    Raises:
        InputError: It is malformed, with the field.
    """
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        raise InputError("the request is not JSON") from None
    if not isinstance(content, dict):
        raise InputError("the request is no object")
    verb, milliseconds = _text(content, "verb"), content.get("milliseconds")
    if type(milliseconds) is not int or not 0 <= milliseconds <= 100_000:
        raise InputError("has to be from 0 to 100000", field="milliseconds")
    seconds = milliseconds / 1000
    if verb in _ASK:
        return Request(verb=verb, seconds=seconds)
    if verb not in {"ADD", "DEL"}:
        raise InputError("give ADD, DEL, CHECK or STATUS", field="verb")
    return Request(
        verb=verb,
        seconds=seconds,
        container=_text(content, "containerId"),
        interface=_interface_name(content),
        start=_start(content) if verb == "ADD" else None,
    )


def _text(content: Mapping[str, object], field: str) -> str:
    value = content.get(field, "")
    if not isinstance(value, str) or len(value) > _LONGEST or "\0" in value:
        raise InputError(f"has to be a string of at most {_LONGEST} characters", field=field)
    return value


def _named(content: Mapping[str, object], field: str) -> str:
    value = _text(content, field)
    if not _NAME.fullmatch(value):
        raise InputError("has to be the name of an object", field=field)
    return value


def _start(content: Mapping[str, object]) -> PodStart:
    netns = _text(content, "netns")
    if not netns.startswith("/"):
        raise InputError("has to be an absolute path", field="netns")
    return PodStart(
        pod=ObjectName(_named(content, "podNamespace"), _named(content, "podName")),
        uid=_text(content, "podUid"),
        netns=netns,
        interfaces=(_interface(content),),
    )


def _interface(content: Mapping[str, object]) -> GateInterface:
    name = _interface_name(content)
    result = content.get("prevResult")
    if not isinstance(result, dict):
        raise InputError("has to be an object", field="prevResult")
    index, made = _made(result, name)
    return GateInterface(
        name=name,
        network=_network(content),
        addresses=tuple(_addresses(result, index)),
        mac=_mac(made),
    )


def _interface_name(content: Mapping[str, object]) -> str:
    name = _text(content, "interface")
    if not 0 < len(name.encode(errors="surrogatepass")) < 16:
        raise InputError("has to be the name of an interface", field="interface")
    return name


def _network(content: Mapping[str, object]) -> str:
    network = _text(content, "network")
    parts = network.split("/")
    if network and (len(parts) > 2 or not all(map(_NAME.fullmatch, parts))):
        raise InputError("give namespace/name of the NetworkAttachmentDefinition, or leave it out", field="network")
    return network


def _objects(result: Mapping[str, object], field: str) -> Iterator[tuple[int, Mapping[str, object]]]:
    values = result.get(field) or []
    if not isinstance(values, list) or len(values) > _MOST_ADDRESSES:
        raise InputError(f"has to be a list of at most {_MOST_ADDRESSES}", field=f"prevResult.{field}")
    for index, value in enumerate(values):
        if not isinstance(value, dict):
            raise InputError("has to be an object", field=f"prevResult.{field}[{index}]")
        yield index, value


def _made(result: Mapping[str, object], name: str) -> tuple[int | None, Mapping[str, object]]:
    """The interface in the sandbox, with its index; an interface on the host may have the same name."""
    for index, interface in _objects(result, "interfaces"):
        if interface.get("name") == name and interface.get("sandbox"):
            return index, interface
    return None, {}


def _mac(interface: Mapping[str, object]) -> str:
    mac = str(interface.get("mac", "")).lower()
    return mac if _MAC.fullmatch(mac) else ""


def _addresses(result: Mapping[str, object], index: int | None) -> Iterator[Address]:
    """The addresses of the interface; plugins may leave the index out, then they belong to the only interface."""
    for number, entry in _objects(result, "ips"):
        if entry.get("interface") not in (None, index):  # a set cannot be asked for a list
            continue
        field, text = f"prevResult.ips[{number}].address", entry.get("address")
        try:
            yield parse_address(str(text).partition("/")[0])
        except ValueError:
            raise InputError("has to be an IP address with prefix length", field=field) from None
