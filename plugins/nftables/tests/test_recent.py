"""What is remembered of members: values of the last sets, and no more than so many."""

import pytest

from mnp_nftables.recent import Recent


def members(*numbers):
    return frozenset(numbers)


def counting(most):
    asked = []

    def function(found):
        asked.append(found)
        return sorted(found)

    return Recent(function, most), asked


def test_an_equal_set_is_not_worked_out_again():
    recent, asked = counting(100)
    assert recent(members(2, 1)) == recent(members(1, 2)) == [1, 2]
    assert len(asked) == 1


def test_the_set_that_was_used_last_stays():
    recent, asked = counting(45)  # two sets
    for number in (1, 2, 1, 3, 1, 2):
        assert recent(members(number)) == [number]
    assert asked == [members(1), members(2), members(3), members(2)]
    assert len(recent._values) == 2


def test_a_set_that_is_too_large_takes_no_other_ones_place():
    recent, asked = counting(45)
    recent(members(1))
    recent(members(*range(30)))
    recent(members(1))
    assert len(asked) == 2


def test_an_error_is_not_remembered():
    recent = Recent(lambda found: 1 // len(found), 100)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            recent(members())
    assert recent(members(1)) == 1
