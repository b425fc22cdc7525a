"""Which pods' rules log what they deny: an annotation of the namespace decides, where the node's settings say so."""

import pytest

from mnp_core.cluster import ClusterState
from mnp_core.model import Change, CommonRules, DeniedLog, ObjectName, ObjectRef, Reason
from mnp_core.model.parsing import parse_namespace
from mnp_core.testing.builders import network, pod, present, status

POD, NEIGHBOUR = ObjectName("x", "a"), ObjectName("y", "b")
ANNOTATION = "mnp.k8s.cni.cncf.io/log-denied"
LOGGED = CommonRules(denied_log=DeniedLog())


def namespace(name, value=None):
    annotations = {} if value is None else {"annotations": {ANNOTATION: value}}
    found, reports = parse_namespace({"metadata": {"name": name, **annotations}})
    return Change(ref=ObjectRef("Namespace", ObjectName("", name)), object=found, reports=reports)


def cluster(*, annotated=True, common=LOGGED):
    found = ClusterState(common=common, claimed=frozenset({"macvlan"}), logs_annotated=annotated)
    pods = (pod(str(name), status("x/net", "net1", "10.0.0.1")) for name in (POD, NEIGHBOUR))
    found.apply([namespace("x"), namespace("y"), *map(present, (network("x/net", "macvlan"), *pods))])
    return found


def logs(found, name=POD):
    return found.sandbox_policy(name).common.denied_log is not None


def test_an_annotation_concerns_the_pods_of_its_namespace_alone():
    found = cluster()
    assert not logs(found)
    assert found.apply([namespace("x", "true")]).sandboxes == {POD}
    assert logs(found)
    assert not logs(found, NEIGHBOUR)
    assert found.apply([namespace("x", "true")]).sandboxes == set()
    assert found.apply([namespace("x", "false")]).sandboxes == {POD}
    assert not logs(found)
    found.apply([namespace("x", "true")])
    found.apply([Change(ref=ObjectRef("Namespace", ObjectName("", "x")), object=None)])
    assert not logs(found)


def test_an_annotation_changes_nothing_where_all_or_no_pods_are_logged():
    everywhere, nowhere = cluster(annotated=False), cluster(common=CommonRules())
    assert logs(everywhere)
    assert not logs(nowhere)
    for found in (everywhere, nowhere):
        assert found.apply([namespace("x", "true")]).sandboxes == set()


@pytest.mark.parametrize("value", ["yes", "TRUE", "", True, 1, ["true"], {"true": "true"}, "\x1b[2J", "x" * 100_000])
def test_a_value_that_is_neither_true_nor_false_is_reported_and_means_off(value):
    change = namespace("x", value)
    (report,) = change.reports
    assert (report.reason, report.field) == (Reason.MALFORMED, f"metadata.annotations[{ANNOTATION}]")
    assert len(report.message) < 300
    assert not change.object.logs_denied


def test_the_owner_of_an_address_is_a_pod_on_that_network():
    found = cluster()
    (address,) = found.claims(POD)[0].addresses
    assert found.owner_of(ObjectName("x", "net"), address) == POD  # the first by name of two that claim it
    assert found.owner_of(ObjectName("x", "other"), address) is None
