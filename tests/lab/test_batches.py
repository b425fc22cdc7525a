"""How many probes are under way at once."""

from collections import Counter

from mnp_core.offline.probe import parse_probe
from mnp_lab.plan import plan_lab
from mnp_lab.probe import plan_probes
from mnp_lab.prober import _batches
from mnp_lab.transport.neighbours import PAIRS_AT_ONCE
from tests.lab.manifests import nad, pod

DUAL = nad("net", type="host-local", ranges=[[{"subnet": "10.0.0.0/24"}], [{"subnet": "fd00::/64"}]])
PLAN = plan_lab([DUAL, *(pod(f"p{number}") for number in range(40))])


def neighbours(batch):
    """Entries that a batch causes, by family: each end looks for the other."""
    ends = {end for p in batch for end in ((p.source_address, p.address), (p.address, p.source_address))}
    return Counter(address.version for address, _ in ends)


def test_batches_are_all_probes_in_order_and_none_too_large():
    probes = plan_probes(PLAN, [parse_probe("tcp:80"), parse_probe("icmp")])
    batches = list(_batches(probes, 1000))
    assert [probe for batch in batches for probe in batch] == list(probes)
    assert max(map(len, batches)) <= 1000
    assert max(max(neighbours(batch).values()) for batch in batches) <= PAIRS_AT_ONCE


def test_twenty_pods_are_asked_in_one_go():
    few = frozenset(sorted(PLAN.pods)[:20])
    assert len(list(_batches(plan_probes(PLAN, [parse_probe("tcp:80")], sources=few, destinations=few), 1000))) == 1


def test_no_probe_is_no_batch():
    assert list(_batches((), 10)) == []
