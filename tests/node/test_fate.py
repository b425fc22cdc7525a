"""The fate of a packet against the verdict of policies."""

import pytest

from mnp_core.node.status.fate import agrees, counted


@pytest.mark.parametrize(
    ("answer", "allowed", "moved", "found"),
    [
        ("answered", True, None, True),
        ("answered", False, None, False),
        ("refused", True, True, True),
        ("refused", False, False, False),
        ("rejected", False, None, True),
        ("rejected", True, None, False),
        ("dropped", True, None, False),
        ("silent", False, True, True),
        ("silent", True, True, True),
        ("silent", False, False, None),
        ("silent", True, None, None),
        ("unreachable", True, False, None),
        ("not-sent", True, True, None),
        ("a word of another version", True, None, None),
    ],
)
def test_only_a_fate_that_tells_agrees_or_contradicts(answer, allowed, moved, found):
    assert agrees(answer, allowed=allowed, counted=moved) is found


def side(verdict="allowed", counter="a rule", before=1, after=2):
    counts = [None if number is None else {"packets": number} for number in (before, after)]
    return {"verdict": verdict, "counter": counter, "before": counts[0], "after": counts[1]}


@pytest.mark.parametrize(
    ("egress", "ingress", "found"),
    [
        (None, side(), True),
        (None, side(after=1), False),
        (None, side(before=None, after=1), True),
        (None, side(counter=""), None),
        (None, side(after=None), None),
        (None, None, None),
        (side(), None, None),
        (side("denied"), side(after=1), True),
        (side("denied", after=1), None, False),
    ],
)
def test_the_counter_of_the_end_that_decides_counts(egress, ingress, found):
    """A packet that the source's end denies never comes to that of the destination."""
    assert counted(egress, ingress) is found
