"""Objects as the store of a kind delivers them."""

import msgspec

from mnp_core.model import Severity
from mnp_core.sources.decode import Decoder
from mnp_core.sources.kubernetes.store import Store


def test_of_the_problems_of_one_object_the_first_are_delivered():
    """Ten thousand policies with fifty problems each would take a gigabyte on every node."""
    metadata = {"name": "odd", "namespace": "demo", "resourceVersion": "1"}
    spec = {"podSelector": {}, "ingress": [{"from": [{f"odd-{number}": {}} for number in range(30)]}]}
    raw = msgspec.json.encode({"metadata": metadata, "spec": spec})
    change = Store("MultiNetworkPolicy", Decoder().decode).read(raw, "k8s.cni.cncf.io/v1beta1").change
    *listed, last = [report for report in change.reports if report.severity is Severity.PROBLEM]
    assert [report.field for report in listed if "from" in report.field] == [
        f"spec.ingress[0].from[{number}]" for number in range(10)
    ]
    assert (last.field, last.message) == ("", "it has more problems than are listed here")
    assert change.object.ingress is not None
