"""Churn of pods, labels and networks leaves no empty entry behind: a tenant cannot fill the memory with past names."""

from mnp_core.cluster.multimap import Multimap
from mnp_core.cluster.state import ClusterState
from mnp_core.model import CommonRules
from mnp_core.testing.builders import absent, pod, present, status


def test_a_key_goes_with_its_last_value():
    numbers = Multimap()
    numbers.add("even", 2)
    numbers.add("even", 4)
    numbers.discard("even", 2)
    numbers.discard("odd", 1)
    assert (set(numbers["even"]), set(numbers["odd"]), [*numbers]) == ({4}, set(), ["even"])
    numbers.discard("even", 4)
    assert len(numbers) == 0


def test_pods_that_are_gone_leave_no_label_and_no_network_behind():
    cluster = ClusterState(common=CommonRules(), claimed=frozenset({"macvlan"}))
    for number in range(50):
        gone = pod(f"x/p{number}", status(f"x/net{number}", "net1", "10.0.0.1"), labels={"hash": str(number)})
        cluster.apply([present(gone)])
        cluster.apply([absent(gone)])
    assert sizes_of_multimaps(cluster) == {0}


def sizes_of_multimaps(thing):
    """The sizes of all multimaps of a cluster state."""
    parts = [part for part in vars(thing).values() if type(part).__module__.startswith("mnp_core.cluster")]
    mine = {len(part) for part in parts if isinstance(part, Multimap)}
    return mine.union(*(sizes_of_multimaps(part) for part in parts if hasattr(part, "__dict__")))
