"""Standard tests of address sources: they parse their objects, and no content adds an address. Needs no root."""

import copy
import json
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any

import pytest

from mnp_core.api import AddressSourceSpec
from mnp_core.errors import InputError
from mnp_core.model import Address, AddressRecord, Report
from mnp_core.testing.conformance.base import Conformance, missing_hook
from mnp_core.testing.conformance.spoilt import JUNK, LONG, Path, paths, shown_path, value_at, with_value, without_value
from mnp_core.testing.corpus import HOSTILE_TEXTS

_NO_PODS = ("0.0.0.0", "::", "127.0.0.1", "::1", "224.0.0.1", "ff02::1", "255.255.255.255")  # noqa: S104 # addresses


class AddressSourceConformance(Conformance, standard=True):
    """For the `parse` of an `mnp_core.api.AddressSourceSpec`."""

    def make_spec(self) -> AddressSourceSpec:
        """Make the descriptor: define this."""
        raise missing_hook(self, "make_spec")

    def example(self) -> dict[str, Any]:
        """An object without faults, with addresses, as the API server would send it: define this."""
        raise missing_hook(self, "example")

    def raw(self) -> dict[str, Any]:
        """The example, to be spoilt."""
        return copy.deepcopy(self.example())

    def parse(self, raw: Mapping[str, object]) -> tuple[AddressRecord, tuple[Report, ...]]:
        """Parse an object."""
        return self.make_spec().parse(raw)

    def addresses(self, raw: Mapping[str, object]) -> frozenset[Address]:
        """All addresses that a parser finds in an object; none in one that it drops."""
        try:
            record, _ = self.parse(raw)
        except InputError:
            return frozenset()
        return frozenset(address for each in record.interfaces for address in each.addresses)

    def test_an_object_without_faults_is_understood(self) -> None:
        """S75: no reports, addresses, and the kind, namespace, name and UID of the object."""
        raw, (record, reports) = self.raw(), self.parse(self.raw())
        assert reports == ()
        assert record.ref.kind == self.make_spec().kind == raw["kind"]
        name = (record.ref.name.namespace, record.ref.name.name, record.uid)
        assert name == (raw["metadata"].get("namespace", ""), raw["metadata"]["name"], raw["metadata"].get("uid", ""))
        assert self.addresses(raw)

    def test_every_served_version_is_understood(self) -> None:
        """S75: with the same addresses."""
        spec = self.make_spec()
        for version in spec.versions:
            assert self.addresses(self.raw() | {"apiVersion": f"{spec.group}/{version}"}) == self.addresses(self.raw())

    def test_an_object_without_a_name_is_dropped(self) -> None:
        """S6: as InputError, the only exception that there is."""
        for junk in ({}, {"name": ""}, {"name": 42}, None, "x"):
            with pytest.raises(InputError):
                self.parse(with_value(self.raw(), ("metadata",), junk))

    def test_nothing_in_an_object_makes_it_fall_or_adds_an_address(self) -> None:
        """S6, S75: junk in every place, missing or too much; one bad object is an InputError at most."""
        raw = self.raw()
        known = self.addresses(raw)
        for path in paths(raw):
            for junk in (*JUNK, LONG, *HOSTILE_TEXTS):
                self._adds_nothing(with_value(raw, path, junk), path, known)
            self._adds_nothing(without_value(raw, path), path, known)

    def _adds_nothing(self, raw: Mapping[str, object], path: Path, known: frozenset[Address]) -> None:
        try:
            found = self.addresses(raw)
        except Exception as error:  # noqa: BLE001 # any error is a finding
            pytest.fail(f"{shown_path(path)}: {error!r} for {json.dumps(raw)[:500]}")
        assert found <= known, f"{shown_path(path)}: {found - known} are nobody's"

    def test_an_address_that_no_pod_can_have_is_left_out_and_reported(self) -> None:
        """S75: multicast, loopback, unspecified and broadcast addresses, wherever the example has an address."""
        raw = self.raw()
        places = [path for path in paths(raw) if _address_in(value_at(raw, path)) in self.addresses(raw)]
        assert places
        for path in places:
            for text in _NO_PODS:
                spoilt = with_value(raw, path, text)
                assert ip_address(text) not in self.addresses(spoilt), f"{shown_path(path)}: {text} counts"
        reported = [self.parse(with_value(raw, path, _NO_PODS[0]))[1] for path in places]
        assert any(reported), "nobody is told"


def _address_in(value: object) -> Address | None:
    try:
        return ip_address(value.partition("/")[0]) if isinstance(value, str) else None
    except ValueError:
        return None
