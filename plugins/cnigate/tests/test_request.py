"""Parsing of a request, and of the CNI result in it."""

import json
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnp_cnigate.request import parse_request
from mnp_core.errors import InputError

ADD = {
    "verb": "ADD",
    "milliseconds": 5000,
    "netns": "/run/netns/x",
    "interface": "net1",
    "podNamespace": "demo",
    "podName": "web",
    "prevResult": {},
}
POD = {"name": "net1", "mac": "02:AA:00:00:00:01", "sandbox": "/run/netns/x"}


def parse(**changes):
    return parse_request(json.dumps({**ADD, **changes}).encode())


def made(*ips, interfaces=(POD,)):
    (interface,) = parse(prevResult={"interfaces": [*interfaces], "ips": [*ips]}).start.interfaces
    return interface


def test_interface_on_the_host_is_not_the_pods():
    host = {"name": "net1", "mac": "02:00:00:00:00:99"}
    found = made(
        {"interface": 0, "address": "10.0.0.9/24"}, {"interface": 1, "address": "10.0.0.1/24"}, interfaces=(host, POD)
    )
    assert (found.mac, found.addresses) == ("02:aa:00:00:00:01", (ip_address("10.0.0.1"),))


def test_addresses_of_other_interfaces_are_not_its_own():
    other = {"name": "net2", "sandbox": "/run/netns/x"}
    ips = [{"interface": 1, "address": "10.0.0.2/24"}, {"interface": 0, "address": "fd00::1/64"}]
    assert made(*ips, interfaces=(POD, other)).addresses == (ip_address("fd00::1"),)


def test_addresses_without_an_index_count():
    """CNI 0.4.0: `interface` is optional; and IPAM plugins do not know it."""
    assert made({"address": "10.0.0.1/24", "version": "4"}).addresses == (ip_address("10.0.0.1"),)
    assert made({"address": "10.0.0.1/24", "interface": None}, interfaces=()).addresses == (ip_address("10.0.0.1"),)


def test_mapped_addresses_are_ipv4():
    """S25."""
    assert made({"address": "::ffff:10.0.0.1/120"}).addresses == (ip_address("10.0.0.1"),)


@pytest.mark.parametrize("mac", ["", "x", None, 1, "02:00:00:00:00", "02-00-00-00-00-01"])
def test_odd_mac_is_unknown(mac):
    assert made(interfaces=({**POD, "mac": mac},)).mac == ""


def test_mac_of_infiniband_is_kept():
    mac = ":".join(["80"] * 20)
    assert made(interfaces=({**POD, "mac": mac},)).mac == mac


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"verb": "GC"}, "verb"),
        ({"verb": "DEL", "containerId": 1}, "containerId"),
        ({"verb": "DEL", "interface": ""}, "interface"),
        ({"milliseconds": True}, "milliseconds"),
        ({"milliseconds": -1}, "milliseconds"),
        ({"milliseconds": 1.5}, "milliseconds"),
        ({"netns": "run"}, "netns"),
        ({"netns": "/\0"}, "netns"),
        ({"netns": "/" + "x" * 5000}, "netns"),
        ({"interface": ""}, "interface"),
        ({"interface": "ä" * 8}, "interface"),
        ({"podNamespace": "Demo"}, "podNamespace"),
        ({"podName": "a/b"}, "podName"),
        ({"podName": "a\n"}, "podName"),
        ({"podUid": 1}, "podUid"),
        ({"network": "a/b/c"}, "network"),
        ({"network": "/b"}, "network"),
        ({"network": "a b"}, "network"),
        ({"prevResult": []}, "prevResult"),
        ({"prevResult": {"interfaces": {}}}, None),
        ({"prevResult": {"interfaces": {"a": 1}}}, "prevResult.interfaces"),
        ({"prevResult": {"interfaces": [1]}}, "prevResult.interfaces[0]"),
        ({"prevResult": {"ips": [{}] * 300}}, "prevResult.ips"),
        ({"prevResult": {"ips": [{"address": "x"}]}}, "prevResult.ips[0].address"),
        ({"prevResult": {"ips": [{"address": "fe80::1%1/64"}]}}, "prevResult.ips[0].address"),
        ({"prevResult": {"ips": [{"interface": [], "address": "x"}]}}, None),
    ],
)
def test_wrong_field_is_named(changes, field):
    if field is None:
        assert parse(**changes).start.interfaces[0].addresses == ()
        return
    with pytest.raises(InputError) as raised:
        parse(**changes)
    assert raised.value.field == field


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
FIELDS = st.sampled_from([*ADD, "network", "podUid"])
RESULTS = st.fixed_dictionaries({}, optional={"interfaces": st.lists(JSON) | JSON, "ips": st.lists(JSON) | JSON})


@given(st.dictionaries(FIELDS, JSON | RESULTS, max_size=3))
def test_any_json_is_a_request_or_an_input_error(changes):
    try:
        request = parse(**changes)
    except InputError:
        return
    assert 0 <= request.seconds <= 100


@given(st.binary(max_size=200))
def test_any_bytes_are_an_input_error(body):
    with pytest.raises(InputError):
        parse_request(body)
