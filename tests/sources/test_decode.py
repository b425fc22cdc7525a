"""From objects of any kind to changes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnp_core.api import PolicyKindSpec
from mnp_core.errors import InputError
from mnp_core.model import Namespace, Network, Pod, Policy, Reason, Severity
from mnp_core.model.parsing import POLICY_FOR, parse_pod, parse_policy
from mnp_core.sources.decode import UNNAMED, Decoder


def manifest(api_version="v1", kind="Pod", name="x", **fields):
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name, "namespace": "ns"}, **fields}


def spec_of(parse, **changes):
    values = {
        "name": "minepolicies",
        "group": "example.com",
        "versions": ("v2", "v1"),
        "kind": "MinePolicy",
        "plural": "minepolicies",
        "parse": parse,
    }
    return PolicyKindSpec(**{**values, **changes})


def parse_mine(raw):
    return parse_policy(raw, kind="MinePolicy", networks_required=False)


@pytest.mark.parametrize(
    ("api_version", "kind", "gives", "ref"),
    [
        ("v1", "Pod", Pod, "Pod ns/x"),
        ("v1", "Namespace", Namespace, "Namespace x"),
        ("k8s.cni.cncf.io/v1", "NetworkAttachmentDefinition", Network, "NetworkAttachmentDefinition ns/x"),
        ("k8s.cni.cncf.io/v1beta1", "MultiNetworkPolicy", Policy, "MultiNetworkPolicy ns/x"),
        ("k8s.cni.cncf.io/v1beta2", "MultiNetworkPolicy", Policy, "MultiNetworkPolicy ns/x"),
        ("example.com/v1", "MinePolicy", Policy, "MinePolicy ns/x"),
        ("example.com/v2", "MinePolicy", Policy, "MinePolicy ns/x"),
    ],
)
def test_kinds_that_are_read(api_version, kind, gives, ref):
    """S1: both versions of a MultiNetworkPolicy, and the kinds of plugins."""
    decoder = Decoder([spec_of(parse_mine)])
    raw = manifest(api_version, kind)
    change = decoder.decode(raw)
    assert isinstance(change.object, gives)
    assert str(change.ref) == ref
    assert change.ref == decoder.ref(raw)


def test_reports_of_the_parser_are_passed_on():
    change = Decoder().decode(manifest("k8s.cni.cncf.io/v1beta1", "MultiNetworkPolicy", spec={}))
    assert [report.field for report in change.reports] == [f"metadata.annotations[{POLICY_FOR}]"]


@pytest.mark.parametrize("kind", ["Service", "ConfigMap", "", None, 7, ["Pod"]])
def test_kinds_without_a_meaning_here_are_passed_over(kind):
    assert Decoder().decode(manifest(kind=kind)) is None


@pytest.mark.parametrize(
    ("api_version", "kind", "severity", "remedy"),
    [
        ("apps/v1", "Deployment", Severity.HINT, "Write the pods"),
        ("batch/v1", "Job", Severity.HINT, "Write the pods"),
        ("networking.k8s.io/v1", "NetworkPolicy", Severity.HINT, "Write a MultiNetworkPolicy"),
        ("networking.k8s.io/v1", "MultiNetworkPolicy", Severity.PROBLEM, "Use k8s.cni.cncf.io/v1beta2 or k8s.cni"),
        ("apps/v1", "Pod", Severity.PROBLEM, "Use v1"),
    ],
)
def test_ineffective_fields_are_reported(api_version, kind, severity, remedy):
    change = Decoder().decode(manifest(api_version, kind))
    assert change.object is None
    (report,) = change.reports
    assert (report.reason, report.severity) == (Reason.IGNORED, severity)
    assert report.remedy.startswith(remedy)


@pytest.mark.parametrize("kind", ["Deployment", "NetworkPolicy"])
def test_workloads_of_a_cluster_have_their_pods_beside_them(kind):
    """A dump of a cluster is not flooded with hints."""
    raw = manifest("apps/v1", kind)
    assert Decoder().decode(raw | {"metadata": {**raw["metadata"], "uid": "1-2-3"}}) is None


def test_an_object_of_another_api_group_is_not_the_one_of_its_kind_that_is_read():
    """S6: the report says which, and the pod of that name stays."""
    read, ignored = Decoder().decode_all([manifest(), manifest("other.example/v1")])
    assert isinstance(read.object, Pod)
    assert (str(ignored.ref), ignored.object) == ("Pod.other.example ns/x", None)


@pytest.mark.parametrize("api_version", ["k8s.cni.cncf.io/v1", "k8s.cni.cncf.io/"])
def test_unknown_versions_are_reported(api_version):
    """S1."""
    change = Decoder().decode(manifest(api_version, "MultiNetworkPolicy"))
    assert change.object is None
    (report,) = change.reports
    assert (report.field, report.reason) == ("apiVersion", Reason.MALFORMED)
    assert "k8s.cni.cncf.io/v1beta2" in report.remedy


@pytest.mark.parametrize("metadata", [None, {}, {"name": "../x"}, {"name": "x", "namespace": "A"}])
def test_an_object_without_a_name_is_reported_and_harms_no_other(metadata):
    """S6."""
    change = Decoder().decode({"apiVersion": "v1", "kind": "Pod", "metadata": metadata})
    assert change.object is None
    assert change.ref.name.name == UNNAMED
    (report,) = change.reports
    assert report.field.startswith("metadata.name")
    assert "Give the object a name" in report.remedy
    with pytest.raises(InputError):
        Decoder().ref({"apiVersion": "v1", "kind": "Pod", "metadata": metadata})


class UnprintableError(Exception):
    def __str__(self):
        raise RuntimeError


def raising(error):
    def parse(_raw):
        raise error

    return parse


@pytest.mark.parametrize(
    "parse",
    [
        raising(ZeroDivisionError("oops")),
        raising(RecursionError()),
        raising(UnprintableError()),
        raising(InputError("is wrong: mend it", field="spec")),
        lambda _raw: None,
        lambda _raw: ("policy", ()),
        parse_pod,
        lambda raw: (parse_mine({**raw, "metadata": {"name": "another"}})[0], ()),
        lambda raw: (parse_mine(raw)[0], None),
    ],
    ids=range(9),
)
def test_a_parser_of_a_plugin_that_fails_harms_its_object_alone(parse):
    """S6."""
    change = Decoder([spec_of(parse)]).decode(manifest("example.com/v1", "MinePolicy"))
    assert change.object is None
    (report,) = change.reports
    assert (report.about, report.reason) == (change.ref, Reason.MALFORMED)
    assert "does not count" in report.message


def test_of_objects_with_one_name_the_last_counts_and_says_so():
    first, other, last = manifest(uid=1), manifest(name="y"), manifest(spec={"nodeName": "n"})
    changes = Decoder().decode_all([first, manifest(kind="Service"), other, last])
    assert [str(change.ref) for change in changes] == ["Pod ns/x", "Pod ns/y"]
    assert changes[0].object.node == "n"
    assert [report.reason for report in changes[0].reports] == [Reason.DUPLICATE]
    assert changes[1].reports == ()


@given(st.dictionaries(st.sampled_from(["apiVersion", "kind", "metadata", "spec"]), st.one_of(
    st.sampled_from(["v1", "Pod", "MultiNetworkPolicy", "k8s.cni.cncf.io/v1beta1", "a/b/c", "", {"name": "x"}]),
    st.integers(), st.none(), st.lists(st.none()), st.text())))  # fmt: skip
def test_no_object_makes_it_raise(raw):
    """S6."""
    change = Decoder().decode(raw)
    assert change is None or change.object is not None or change.reports
