"""The rates of `mnp top`, and how numbers are shortened."""

import pytest

from mnp_core.cli.rates import counts_of, rates
from mnp_core.cli.top import _short, row


def pods(at, *counts):
    rules = [
        {"interface": "net1", "direction": "Ingress", "rule": rule, "packets": packets, "bytes": octets}
        for rule, packets, octets in counts
    ]
    return [{"namespace": "a", "name": "b", "at": at, "error": "", "rules": rules}]


def test_rates_are_the_difference_by_the_agents_clock_and_the_busiest_comes_first():
    before = counts_of(pods(10.0, ("x", 5, 500), ("y", 0, 0)))
    found = list(rates(before, counts_of(pods(12.0, ("x", 9, 900), ("y", 100, 6400)))))
    assert [(rate.rule, rate.packets_per_second, rate.bytes_per_second) for rate in found] == [
        ("y", 50.0, 3200.0),
        ("x", 2.0, 200.0),
    ]


def test_rewritten_rules_begin_with_zero_and_new_ones_have_no_rate_yet():
    before = counts_of(pods(10.0, ("x", 1000, 1000)))
    found = {rate.rule: rate for rate in rates(before, counts_of(pods(11.0, ("x", 7, 70), ("new", 3, 30))))}
    assert (found["x"].packets_per_second, found["x"].bytes_per_second) == (7.0, 70.0)
    assert (found["new"].packets_per_second, found["new"].packets) == (0.0, 3)


def test_the_same_reading_twice_is_no_rate():
    same = counts_of(pods(10.0, ("x", 5, 5)))
    assert [rate.packets_per_second for rate in rates(same, same)] == [0.0]


def test_a_rule_about_all_interfaces_has_a_star():
    count = {"direction": "Ingress", "rule": "established", "packets": 1, "bytes": 60, "interface": ""}
    readings = [counts_of([{**pods(at)[0], "rules": [count]}]) for at in (1.0, 2.0)]
    assert row(next(iter(rates(*readings))))[:3] == ["a/b", "*", "Ingress"]


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0"), (0.25, "0.2"), (7, "7"), (999, "999"), (1000, "1k"), (1234, "1.2k"), (123_456, "123k"), (2.5e9, "2.5G")],
)
def test_numbers_have_three_digits_and_a_unit(number, text):
    assert _short(number) == text
