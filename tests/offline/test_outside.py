from ipaddress import ip_address, ip_network

import pytest

from mnp_core.errors import InputError
from mnp_core.offline.outside import MOST_BLOCKS, outside_blocks

FIRST = str(ip_network("0.0.0.0/0")[0])


def blocks(*cidrs, families=(4,), taken=()):
    found = outside_blocks(map(ip_network, cidrs), families, set(map(ip_address, taken)))
    return {each.name: str(each.address) for each in found}


def test_each_block_is_a_part_without_those_inside_it():
    """S23: an address of each part is in the same CIDRs as all others of the part."""
    assert blocks("10.0.0.0/8", "10.1.0.0/16", "10.0.0.0/24") == {
        "other IPv4 outside": FIRST,
        "10.0.0.0/8 except 10.0.0.0/24, 10.1.0.0/16": "10.0.1.0",
        "10.0.0.0/24": "10.0.0.0",
        "10.1.0.0/16": "10.1.0.0",
    }


def test_addresses_of_pods_are_not_outside():
    assert blocks("10.0.0.0/31", "10.0.0.7/32", taken=["10.0.0.0", "10.0.0.7"])["10.0.0.0/31"] == "10.0.0.1"
    assert "10.0.0.7/32" not in blocks("10.0.0.7/32", taken=["10.0.0.7"])


def test_a_block_that_others_fill_has_no_part():
    assert blocks("10.0.0.0/8", "10.0.0.0/9", "10.128.0.0/9").keys() == {
        "other IPv4 outside",
        "10.0.0.0/9",
        "10.128.0.0/9",
    }


def test_only_families_in_use_have_an_outside():
    """S25."""
    assert blocks("10.0.0.0/8", "fd00::/8", families=(6,)) == {"other IPv6 outside": "::", "fd00::/8": "fd00::"}
    assert blocks(families=(4,)) == {"any IPv4 outside": FIRST}
    assert blocks(families=()) == {}


def test_names_stay_short():
    (name,) = [name for name in blocks("10.0.0.0/8", *(f"10.{n}.0.0/16" for n in range(9))) if "/8 except" in name]
    assert name == "10.0.0.0/8 except 10.0.0.0/16, 10.1.0.0/16, 10.2.0.0/16 and 6 more"


def test_too_many_blocks_are_an_error_with_a_remedy():
    with pytest.raises(InputError, match=f"the limit is {MOST_BLOCKS}: leave --outside out"):
        blocks(*(f"10.{n >> 8}.{n & 255}.0/24" for n in range(MOST_BLOCKS)))
