"""Networks and namespaces."""

import json

import pytest

from mnp_core.errors import InputError
from mnp_core.model import Reason
from mnp_core.model.parsing import parse_namespace, parse_network


def network(config):
    return parse_network({"metadata": {"name": "net", "namespace": "ns"}, "spec": {"config": config}})


@pytest.mark.parametrize(
    ("config", "types"),
    [
        ({"cniVersion": "1.0.0", "type": "macvlan", "master": "eth1"}, ("macvlan",)),
        ({"plugins": [{"type": "tuning"}, {"type": "macvlan"}, {"type": "sbr"}]}, ("tuning", "macvlan", "sbr")),
        ({"type": "ignored", "plugins": [{"type": "bridge"}]}, ("bridge",)),
    ],
)
def test_types_of_single_configurations_and_lists(config, types):
    """S4."""
    parsed, reports = network(json.dumps(config))
    assert (str(parsed.name), parsed.cni_types, reports) == ("ns/net", types, ())


@pytest.mark.parametrize("config", [None, ""])
def test_a_definition_without_configuration_is_of_unknown_kind(config):
    """S4: it may lie in a file on the nodes."""
    parsed, (report,) = network(config)
    assert parsed.cni_types == ()
    assert (report.field, report.reason) == ("spec.config", Reason.UNKNOWN_NETWORK)


@pytest.mark.parametrize(
    ("config", "types", "field"),
    [
        ("{", (), "spec.config"),
        ("[]", (), "spec.config"),
        ("[" * 100_000, (), "spec.config"),
        ({"type": "macvlan"}, (), "spec.config"),
        ("{}", (), "spec.config.type"),
        ('{"type": 7}', (), "spec.config.type"),
        ('{"type": "../../bin/sh"}', (), "spec.config.type"),
        ('{"plugins": []}', (), "spec.config.plugins"),
        ('{"plugins": "macvlan"}', (), "spec.config.plugins"),
        ('{"plugins": [null, {"type": "macvlan"}]}', ("macvlan",), "spec.config.plugins[0].type"),
    ],
)
def test_configurations_that_cannot_be_read_are_reported(config, types, field):
    """S4, S6."""
    parsed, (report,) = network(config)
    assert parsed.cni_types == types
    assert (report.field, report.reason) == (field, Reason.MALFORMED)


@pytest.mark.parametrize("labels", [None, {"team": "a"}, {"kubernetes.io/metadata.name": "liar", "team": "a"}])
def test_every_namespace_carries_its_name(labels):
    """S20: selectors rely on it, as the API server makes it so."""
    parsed, reports = parse_namespace({"metadata": {"name": "ns", "labels": labels, "namespace": "ignored"}})
    assert parsed.name == "ns"
    assert parsed.labels["kubernetes.io/metadata.name"] == "ns"
    assert parsed.labels.get("team") == (labels or {}).get("team")
    assert reports == ()


def test_a_namespace_with_an_impossible_name_is_an_error():
    with pytest.raises(InputError):
        parse_namespace({"metadata": {"name": "a.b"}})
