"""Addresses, blocks and the ranges that blocks amount to."""

import pickle
import tracemalloc
from ipaddress import ip_address, ip_network
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnp_core.model import Block, address_ranges, parse_address, parse_cidr
from mnp_core.model.address import cidr_order, covers


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("2001:DB8::1", "2001:db8::1"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("::ffff:a00:1", "10.0.0.1"),
        ("::", "::"),
    ],
)
def test_mapped_addresses_become_ipv4(text, address):
    """S25."""
    assert parse_address(text) == ip_address(address)


@pytest.mark.parametrize(
    "text",
    ["", "10.0.0", "10.0.0.01", "10.0.0.1/24", "fe80::1%eth0", " 10.0.0.1", "10.0.0.1\n", "\u0661.1.1.1", None, 1, []],
)
def test_invalid_address_is_refused(text):
    with pytest.raises(ValueError, match=r"\S"):
        parse_address(text)


@pytest.mark.parametrize(
    ("text", "cidr"),
    [
        ("10.0.0.9/24", "10.0.0.0/24"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("::/0", "::/0"),
        ("::ffff:10.0.0.9/120", "10.0.0.0/24"),
        ("::ffff:0.0.0.0/96", "0.0.0.0/0"),
        ("::ffff:0.0.0.0/95", "::fffe:0:0/95"),
    ],
)
def test_host_bits_are_masked_and_mapped_blocks_become_ipv4(text, cidr):
    """S25."""
    assert parse_cidr(text) == ip_network(cidr)


@pytest.mark.parametrize(
    "text", ["10.0.0.0", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/255.0.0.0", "::/129", "10.0.0.0/ 8", 10, None, {}]
)
def test_invalid_block_is_refused(text):
    with pytest.raises(ValueError, match=r"\S"):
        parse_cidr(text)


def test_no_block_covers_one_of_the_other_family():
    """S25."""
    assert not covers(ip_network("::/0"), ip_network("10.0.0.0/8"))
    assert not covers(ip_network("0.0.0.0/0"), ip_network("2001:db8::/64"))


def _cidrs(version, shortest):
    width = 32 if version == 4 else 128
    base = int(ip_address("10.0.0.0" if version == 4 else "2001:db8::"))
    host = width - shortest
    pairs = st.tuples(st.integers(0, 2**host - 1), st.integers(shortest, width))
    return pairs.map(lambda pair: ip_network((base + pair[0], pair[1]), strict=False))


def _blocks(version, shortest):
    def block(cidrs):
        outer, *others = sorted(cidrs, key=cidr_order)
        return Block(cidr=outer, excepts=tuple(cidr for cidr in others if covers(outer, cidr)))

    return st.lists(_cidrs(version, shortest), min_size=1, max_size=5).map(block)


@given(st.lists(_blocks(4, 26), max_size=5), st.lists(_blocks(6, 122), max_size=5))
def test_ranges_hold_exactly_the_addresses_of_the_blocks(blocks4, blocks6):
    """S23, S25: nested, adjacent, duplicate and overlapping blocks, checked address by address."""
    blocks = [*blocks4, *blocks6]
    for version, base in ((4, ip_address("10.0.0.0")), (6, ip_address("2001:db8::"))):
        ranges = address_ranges(blocks, version)
        for address in (base + offset for offset in range(64)):
            inside = any(span.first <= address <= span.last for span in ranges)
            assert inside is any(block.contains(address) for block in blocks if block.cidr.version == version)
        assert all(int(left.last) + 1 < int(right.first) for left, right in pairwise(ranges))


def test_a_block_that_covers_everything_but_its_ends_has_two_ends():
    """S23: excepts at the very edges of the address space."""
    excepts = tuple(parse_cidr(text) for text in ("0.0.0.0/8", "255.0.0.0/8"))
    (span,) = address_ranges([Block(cidr=parse_cidr("0.0.0.0/0"), excepts=excepts)], 4)
    assert str(span) == "1.0.0.0-254.255.255.255"


@pytest.mark.parametrize("text", ["10.{}.{}.{}/32", "::ffff:10.{}.{}.{}/128", "10.{}.{}.{}/24"])
def test_blocks_of_one_address_take_no_more_memory_than_others(text):
    """A namespace may have 250,000; ipaddress keeps a closure in each of one or two addresses, 250 bytes."""
    texts = [text.format(1 + number // 2500, number // 10 % 250, number % 10) for number in range(5000)]
    parse_cidr(texts[0])
    tracemalloc.start()
    kept = [parse_cidr(each) for each in texts]
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size / len(kept) < 260
    assert pickle.loads(pickle.dumps(kept)) == kept  # noqa: S301 # its own
