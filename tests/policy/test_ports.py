"""Unions of port ranges, and names on a pod (S30, S31)."""

from itertools import permutations

import pytest

from mnp_core.model.port import merged_ranges
from mnp_core.policy.ports import served_ranges
from mnp_core.testing.builders import pod, policy_port, serves


@pytest.mark.parametrize(
    ("entries", "union"),
    [
        (["TCP", "TCP/80"], ["TCP"]),
        (["TCP/80", "UDP", "TCP/81"], ["TCP/80-81", "UDP"]),
        (["TCP/80-90", "TCP/85", "TCP/88-100"], ["TCP/80-100"]),
        (["TCP/80", "UDP/81", "SCTP/80"], ["TCP/80", "UDP/81", "SCTP/80"]),
        (["TCP/1-10", "TCP/12", "TCP/12"], ["TCP/1-10", "TCP/12"]),
        ([], []),
    ],
)
def test_ports_are_a_union_in_any_order(entries, union):
    """S30."""
    expected = tuple(map(policy_port, union))
    for order in permutations(entries):
        assert merged_ranges(map(policy_port, order)) == expected


def test_a_port_without_a_name_answers_to_no_name():
    """S31."""
    web = pod("web", ports=[serves("TCP/80")])
    assert served_ranges(web, {policy_port("TCP/http")}) == ()
    assert served_ranges(web, {policy_port("TCP/")}) == ()
