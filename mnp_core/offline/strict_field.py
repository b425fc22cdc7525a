"""A value in a manifest together with where it stands. The first wrong one raises an error that says where."""

import json
import re
from collections.abc import Iterator, Mapping
from ipaddress import IPv4Interface, IPv6Interface, ip_interface

from attrs import evolve

from mnp_core.classes import frozen
from mnp_core.errors import InputError
from mnp_core.model import Address, Cidr, parse_address, parse_cidr

AddressInterface = IPv4Interface | IPv6Interface
"""An address with the length of its network's prefix, as an interface carries it."""

_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")  # RFC 1123 subdomain, as Kubernetes requires of names


@frozen(kw_only=True)
class StrictField:
    """One value of any type, and its place. Methods that read it raise InputError if it is something else.

    The agent's `mnp_core.model.parsing.Field` reports a wrong value and reads on, as one tenant's mistake must not
    stop it. A manifest on this machine is its author's to correct: guessing would build another network than written.

    Attributes:
        value: As it was decoded.
        where: The file and document.
        path: As in ``metadata.annotations``; empty for the whole document.
    """

    value: object
    where: str
    path: str = ""

    def wrong(self, message: str) -> InputError:
        """Make the error that complains about this value."""
        return InputError(message, where=self.where, field=self.path)

    def child(self, key: str) -> "StrictField":
        """The value under a key; None if it is not there."""
        path = f"{self.path}.{key}" if self.path else key
        return StrictField(value=self.mapping().get(key), where=self.where, path=path)

    def elements(self) -> Iterator["StrictField"]:
        """The elements of a list; nothing there is an empty list."""
        if self.value is None:
            return
        if not isinstance(self.value, list):
            raise self.wrong("must be a list")
        for index, value in enumerate(self.value):
            yield evolve(self, value=value, path=f"{self.path}[{index}]")

    def mapping(self) -> Mapping[str, object]:
        """A mapping; nothing there is an empty one."""
        if self.value is None:
            return {}
        if not isinstance(self.value, Mapping):
            raise self.wrong("must be a mapping of fields to values")
        return self.value

    def text(self) -> str:
        """A string; nothing there is an empty one."""
        if self.value is None:
            return ""
        if not isinstance(self.value, str):
            raise self.wrong(f"must be a string, not {type(self.value).__name__}: put it in quotes")
        return self.value

    def json(self) -> "StrictField":
        """The value of a string with JSON."""
        try:
            return evolve(self, value=json.loads(self.text()))
        except (ValueError, RecursionError) as error:
            raise self.wrong(f"is not JSON: {error}") from error

    def name(self) -> str:
        """A name of a Kubernetes object. It becomes part of a path in the lab, so nothing else may pass."""
        text = self.text()
        if not _NAME.fullmatch(text):
            raise self.wrong(f"{text[:80]!r} is not a name: lower case letters, digits, '-' and '.' make one")
        return text

    def address(self) -> Address | None:
        """An address without a prefix length, if there is one."""
        if self.value is None:
            return None
        try:
            return parse_address(self.value)
        except ValueError as error:
            raise self.wrong(f"{str(self.value)[:80]!r} is not an IP address") from error

    def address_interface(self) -> Address | AddressInterface:
        """An address, with or without the length of its network's prefix."""
        text = self.text()
        try:
            return ip_interface(text) if "/" in text else parse_address(text)
        except ValueError as error:
            raise self.wrong(f"{text[:80]!r} is not an IP address such as 10.0.0.5/24") from error

    def cidr(self) -> Cidr:
        """A block of addresses."""
        try:
            return parse_cidr(self.value)
        except ValueError as error:
            raise self.wrong(f"{str(self.value)[:80]!r} is not a subnet such as 10.0.0.0/24") from error
