"""The customer's load of `make bench`."""

from benchmarks.bench.customer_load import more, policies
from mnp_core.model import Severity
from mnp_core.model.address import address_ranges
from mnp_core.sources.decode import Decoder


def test_no_two_blocks_of_the_load_touch():
    """As ranges they would be one, and the load none."""
    changes = [Decoder().decode(raw) for raw in policies(3)]
    blocks = [peer for change in changes for rule in change.object.ingress for peer in rule.peers]
    assert len(address_ranges(blocks, 4)) == 3 * 450 + 1, "each of them has one block that all have"
    assert not [report for change in changes for report in change.reports if report.severity is Severity.PROBLEM]


def test_one_more_is_one_block():
    change = Decoder().decode(more())
    assert [len(rule.peers) for rule in change.object.ingress] == [2]
