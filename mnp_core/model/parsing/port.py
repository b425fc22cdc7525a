"""Protocols and ports, of policies (NetworkPolicyPort) and of containers (ContainerPort)."""

import re
from typing import TypeGuard

from mnp_core.model.parsing.field import Field, Refusal
from mnp_core.model.parsing.names import is_port_name
from mnp_core.model.policy import PolicyPort
from mnp_core.model.port import PORT_PROTOCOLS, ContainerPort, NamedPort, PortRange, Protocol
from mnp_core.model.report import Reason

_PROTOCOLS = {protocol.name: protocol for protocol in sorted(PORT_PROTOCOLS)}
_FIELDS = ("protocol", "port", "endPort")
_DIGITS = re.compile(r"[0-9]{1,5}")


def parse_policy_port(field: Field) -> PolicyPort:
    """Read an element of ``ports`` (S30 to S32).

    Raises:
        Refusal: It cannot be understood.
    """
    protocol, port, end = map(field.child, _FIELDS)
    if not field.is_mapping:
        raise _refusal(field, f"{field} is not a port", f"Write {', '.join(_FIELDS)}")
    if unknown := field.unknown_keys(_FIELDS):
        raise _refusal(field, f"a port has no field {unknown}", f"Write {', '.join(_FIELDS)}")
    number = _protocol_in_any_case(protocol)
    if number is None:
        raise _refusal(protocol, f"{protocol} is not a protocol with ports", f"Write one of {', '.join(_PROTOCOLS)}")
    return _port(number, port) if end.is_missing else _range(number, port, end)


def _port(protocol: Protocol, port: Field) -> PolicyPort:
    if port.is_missing:
        return PortRange.every(protocol)
    number = _number(port)
    if number is not None:
        return PortRange(protocol=protocol, first=number, last=number)
    if not isinstance(port.value, str) or not is_port_name(port.value):
        remedy = "Write a number from 1 to 65535, or the name that a container gives its port"
        raise _refusal(port, f"{port} is not a port", remedy)
    return NamedPort(protocol=protocol, name=port.value)


def _range(protocol: Protocol, port: Field, end: Field) -> PortRange:
    first, last = _number(port), _number(end)
    if first is None:
        problem = f"a range with endPort cannot begin at {port}"
        raise _refusal(port, problem, "Write a number from 1 to 65535, or leave endPort out")
    if last is None or last < first:
        problem = f"a range that begins at {first} cannot end at {end}"
        raise _refusal(end, problem, f"Write a number from {first} to 65535")
    return PortRange(protocol=protocol, first=first, last=last)


def _refusal(field: Field, problem: str, remedy: str) -> Refusal:
    return field.refusal(Reason.INVALID_PORT, problem, remedy)


def parse_container_ports(container: Field) -> list[ContainerPort]:
    """Read the ports that a container declares; those that cannot be are reported and left out."""
    ports = container.child("ports")
    if ports.is_missing:  # of most
        return []
    elements = ports.elements()
    if elements is None:
        ports.report(Reason.MALFORMED, f"{ports} is not a list: no port is known", "Write a list of ports")
    return [port for element in elements or () if (port := _container_port(element)) is not None]


def _container_port(field: Field) -> ContainerPort | None:
    protocol, number = _protocol(field.child("protocol")), field.child("containerPort")
    if protocol is None or not _is_number(number.value):
        problem = f"{number}/{field.child('protocol')} is not a port of a container: it is left out"
        field.report(Reason.MALFORMED, problem, "Write containerPort from 1 to 65535, and protocol TCP, UDP or SCTP")
        return None
    return ContainerPort(name=_port_name(field.child("name")), protocol=protocol, port=number.value)


def _port_name(field: Field) -> str:
    if field.is_missing or field.value == "":
        return ""
    if isinstance(field.value, str) and is_port_name(field.value):
        return field.value
    problem = f"{field} cannot be the name of a port: it is left out"
    field.report(Reason.MALFORMED, problem, "Write up to 15 lower case letters, digits and '-', at least one letter")
    return ""


def _protocol(field: Field) -> Protocol | None:
    """Missing means TCP (S1); of a container it is matched exactly, as the API server does."""
    if field.is_missing:
        return Protocol.TCP
    return _PROTOCOLS.get(field.value) if isinstance(field.value, str) else None


def _protocol_in_any_case(field: Field) -> Protocol | None:
    """The protocol of a policy, which no API server checks: both other engines take it in any case (S30)."""
    if not isinstance(field.value, str) or field.value in _PROTOCOLS:
        return _protocol(field)
    protocol = _PROTOCOLS.get(field.value.upper())
    if protocol is not None:
        field.hint(Reason.SPELLING, f"{field} is taken for {protocol.name}", f"Write {protocol.name}")
    return protocol


def _number(field: Field) -> int | None:
    """A port number; digits in quotes are one, too (S30). None if it is something else."""
    if _is_number(field.value):
        return field.value
    if not isinstance(field.value, str) or not _DIGITS.fullmatch(field.value) or not _is_number(int(field.value)):
        return None
    number = int(field.value)
    field.hint(Reason.SPELLING, f"{field} in quotes is taken for the number {number}", f"Write {number} without quotes")
    return number


def _is_number(value: object) -> TypeGuard[int]:
    """Whether it is a port number. True is no number here, though it is one to Python."""
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 65535
