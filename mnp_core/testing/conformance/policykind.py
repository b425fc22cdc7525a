"""Standard tests of policy kinds: they parse their objects, with any content. Needs no root."""

import copy
import json
from collections.abc import Mapping
from typing import Any

import pytest

from mnp_core.api import PolicyKindSpec
from mnp_core.errors import InputError
from mnp_core.model import AnyPeer, AnyPort, Policy, Report
from mnp_core.testing.conformance.base import Conformance, missing_hook
from mnp_core.testing.conformance.spoilt import (
    JUNK,
    LONG,
    Path,
    paths,
    shown_path,
    value_at,
    with_value,
    without_value,
)
from mnp_core.testing.corpus import HOSTILE_TEXTS


class PolicyKindConformance(Conformance, standard=True):
    """For the `parse` of an `mnp_core.api.PolicyKindSpec`."""

    def make_spec(self) -> PolicyKindSpec:
        """Make the descriptor: define this."""
        raise missing_hook(self, "make_spec")

    def example(self) -> dict[str, Any]:
        """An object without faults, as the API server would send it, with as much in its spec as may be: define this.

        It selects something, and has an ingress rule that names peers and ports.
        """
        raise missing_hook(self, "example")

    def raw(self) -> dict[str, Any]:
        """The example, to be spoilt."""
        return copy.deepcopy(self.example())

    def parse(self, raw: Mapping[str, object]) -> tuple[Policy, tuple[Report, ...]]:
        """Parse an object."""
        return self.make_spec().parse(raw)

    def test_an_object_without_faults_is_understood(self) -> None:
        """S1: no reports, and the kind, namespace and name of the object."""
        raw, (policy, reports) = self.raw(), self.parse(self.raw())
        assert reports == ()
        assert policy.ref.kind == self.make_spec().kind == raw["kind"]
        name = (policy.ref.name.namespace, policy.ref.name.name)
        assert name == (raw["metadata"].get("namespace", ""), raw["metadata"]["name"])
        assert policy.ingress

    def test_every_served_version_is_understood(self) -> None:
        """S1: in every served version; the spec is the same."""
        spec, found = self.make_spec(), []
        for version in spec.versions:
            policy, reports = self.parse(self.raw() | {"apiVersion": f"{spec.group}/{version}"})
            assert reports == ()
            found.append(policy)
        assert [policy for policy in found if policy != found[0]] == []

    def test_parsing_leaves_the_object_as_it_was_and_forgets_it(self) -> None:
        """The same object gives the same policy, also after others."""
        raw, first = self.raw(), self.parse(self.raw())
        before = copy.deepcopy(raw)
        self.parse(raw)
        assert raw == before
        self.parse(with_value(raw, ("metadata", "name"), "another"))
        assert self.parse(raw) == first

    def test_an_object_without_a_name_is_dropped(self) -> None:
        """S6: as InputError, the only exception that there is."""
        for junk in ({}, {"name": ""}, {"name": 42}, None, "x"):
            with pytest.raises(InputError):
                self.parse(with_value(self.raw(), ("metadata",), junk))

    def test_nothing_in_an_object_makes_it_fall(self) -> None:
        """S6: junk in every place, missing or too much; one bad object is an InputError at most."""
        raw = self.raw()
        for path in paths(raw):
            for junk in (*JUNK, LONG, *HOSTILE_TEXTS):
                self._survives(with_value(raw, path, junk), path)
            self._survives(without_value(raw, path), path)

    def _survives(self, raw: Mapping[str, object], path: Path) -> None:
        try:
            policy, reports = self.parse(raw)
        except InputError:
            return
        except Exception as error:  # noqa: BLE001 # any error is a finding
            pytest.fail(f"{shown_path(path)}: {error!r} for {json.dumps(raw)[:500]}")
        assert type(policy) is Policy
        assert {report.about for report in reports} <= {policy.ref}

    def test_malformed_policies_are_reported(self) -> None:
        """S6: something of a type that it cannot have, anywhere in the spec."""
        raw = self.raw()
        for path in paths(raw["spec"], ("spec",)):
            if not isinstance(value_at(raw, path), dict | list):
                try:
                    _, reports = self.parse(with_value(raw, path, {"junk": [1]}))
                except InputError:
                    continue
                assert reports, f"{shown_path(path)} holds junk, and nobody is told"

    def test_malformed_policies_never_allow_more(self) -> None:
        """S13: peers and ports that are junk match nothing; they do not become any peer or any port."""
        raw = self.raw()
        rules = [path for path in paths(raw) if path[:2] == ("spec", "ingress") and len(path) > 3]
        for path in rules:
            for junk in (42, "junk", {"junk": [1]}, ["junk"], [42]):
                try:
                    policy, _ = self.parse(with_value(raw, path, junk))
                except InputError:
                    continue
                for rule in policy.ingress or ():
                    part = rule.ports if path[3] == "ports" else rule.peers
                    assert not isinstance(part, AnyPeer | AnyPort), f"{shown_path(path)}: {junk!r} allows everything"

    def test_an_empty_spec_isolates_ingress_and_allows_nothing(self) -> None:
        """S1, S12: policyTypes missing means Ingress, and no rule allows."""
        policy, _ = self.parse(with_value(self.raw(), ("spec",), {"podSelector": {}}))
        assert (policy.ingress, policy.egress) == ((), None)
