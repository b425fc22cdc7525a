"""Addresses in virtual machines and IPAMClaims (S75). Shapes: kubevirt.io/v1 and k8s.cni.cncf.io/v1alpha1 API types."""

import copy
import json

import pytest

from mnp_core.errors import InputError
from mnp_core.model import ObjectName, Reason, RecordedInterface, parse_address
from mnp_core.model.parsing import parse_ipam_claim, parse_virtual_machine, parse_virtual_machine_and_guest
from mnp_core.model.parsing.recorded import MOST_ADDRESSES, MOST_INTERFACES
from mnp_core.testing.corpus import HOSTILE_TEXTS

NET = ObjectName("shop", "blue")
MACHINE = {
    "apiVersion": "kubevirt.io/v1",
    "kind": "VirtualMachineInstance",
    "metadata": {"name": "web", "namespace": "shop", "uid": "94e0304d-26d6-4868-942a-7e1043cc9c8d"},
    "spec": {
        "domain": {
            "devices": {
                "interfaces": [
                    {"name": "default", "masquerade": {}},
                    {"name": "blue", "bridge": {}, "macAddress": "02:00:00:00:00:05"},
                ]
            }
        },
        "networks": [{"name": "default", "pod": {}}, {"name": "blue", "multus": {"networkName": "blue"}}],
    },
    "status": {
        "phase": "Running",
        "interfaces": [
            {
                "name": "default",
                "infoSource": "domain, guest-agent",
                "interfaceName": "eth0",
                "ipAddress": "10.244.0.7",
                "ipAddresses": ["10.244.0.7", "fd10:244::7"],
                "mac": "52:54:00:11:22:33",
                "podInterfaceName": "eth0",
                "queueCount": 1,
            },
            {
                "name": "blue",
                "infoSource": "domain, multus-status",
                "ipAddress": "10.9.0.5",
                "ipAddresses": ["10.9.0.5", "fd00:9::5", "fe80::ff:fe00:5"],
                "mac": "02:00:00:00:00:05",
                "podInterfaceName": "pod16477688c0e",
                "queueCount": 1,
            },
        ],
    },
}
BY_AGENT = "domain, guest-agent, multus-status"
CLAIM = {
    "apiVersion": "k8s.cni.cncf.io/v1alpha1",
    "kind": "IPAMClaim",
    "metadata": {"name": "web.blue", "namespace": "shop", "uid": "1"},
    "spec": {"network": "tenantblue", "interface": "pod16477688c0e"},
    "status": {"ips": ["10.9.0.5/24", "fd00:9::5/64"], "ownerPod": "virt-launcher-web-abcde"},
}


def machine(**entry):
    """The machine with other fields in the status of its secondary network."""
    raw = copy.deepcopy(MACHINE)
    raw["status"]["interfaces"][1] |= entry
    return raw


def addresses(record):
    return [str(address) for interface in record.interfaces for address in interface.addresses]


def test_a_machine_has_the_addresses_of_its_secondary_networks():
    """S75, S21: those of the pod network are nobody's here, link-local ones neither."""
    record, reports = parse_virtual_machine(MACHINE)
    assert reports == ()
    assert record.uid == MACHINE["metadata"]["uid"]
    assert record.interfaces == (
        RecordedInterface(
            network=NET,
            interface="pod16477688c0e",
            mac="02:00:00:00:00:05",
            addresses=(parse_address("10.9.0.5"), parse_address("fd00:9::5")),
        ),
    )


@pytest.mark.parametrize("source", ["guest-agent", "domain, guest-agent", BY_AGENT, "guest-agent,domain"])
def test_what_a_guest_says_counts_only_if_that_is_asked_for(source):
    """S75: KubeVirt puts the agent's addresses in place of those of CNI, whatever else an entry names."""
    raw = machine(infoSource=source)
    machine_alone, reports = parse_virtual_machine(raw)
    assert (machine_alone.interfaces, reports) == ((), ())
    assert addresses(parse_virtual_machine_and_guest(raw)[0]) == ["10.9.0.5", "fd00:9::5"]


@pytest.mark.parametrize("source", [None, "", "domain,", "someone-else", "domain, someone-else", 42, "a" * 1000])
def test_addresses_without_a_known_origin_do_not_count(source):
    """S75."""
    for parse in (parse_virtual_machine, parse_virtual_machine_and_guest):
        assert addresses(parse(machine(infoSource=source))[0]) == []


def test_interfaces_that_a_guest_makes_itself_have_no_name_and_do_not_count():
    """S75: a dummy interface, or one whose MAC address the guest has changed."""
    raw = copy.deepcopy(MACHINE)
    own = {
        "infoSource": "guest-agent",
        "interfaceName": "dummy0",
        "ipAddresses": ["10.9.0.66"],
        "mac": "0e:00:00:00:00:01",
    }
    raw["status"]["interfaces"] = [own, own | {"name": ""}, own | {"name": "green"}]
    assert addresses(parse_virtual_machine_and_guest(raw)[0]) == []


def test_older_versions_list_one_address():
    raw = machine(infoSource="domain")
    del raw["status"]["interfaces"][1]["ipAddresses"]
    assert addresses(parse_virtual_machine(raw)[0]) == ["10.9.0.5"]


@pytest.mark.parametrize(
    ("multus", "network"),
    [
        ({"networkName": "blue"}, NET),
        ({"networkName": "nets/blue"}, ObjectName("nets", "blue")),
        ({"networkName": "blue", "default": True}, None),
    ],
)
def test_networks_are_found_as_the_machine_names_them(multus, network):
    """S3: one that is the pod's default network is never touched."""
    raw = copy.deepcopy(MACHINE)
    raw["spec"]["networks"][1]["multus"] = multus
    assert [each.network for each in parse_virtual_machine(raw)[0].interfaces] == ([network] if network else [])


NO_POD = [
    "0.0.0.0",  # noqa: S104 # an address in an object
    *("::", "127.0.0.1", "::1", "224.0.0.1", "ff02::1", "255.255.255.255", "x", 7, {}),
]


@pytest.mark.parametrize("address", NO_POD)
def test_addresses_that_no_pod_can_have_are_reported_and_left_out(address):
    """S75, S6: the others count."""
    record, reports = parse_virtual_machine(machine(ipAddresses=[address, "10.9.0.6"]))
    assert addresses(record) == ["10.9.0.6"]
    (report,) = reports
    assert (report.field, report.reason) == ("status.interfaces[1].ipAddresses[0]", Reason.INVALID_GUEST_ADDRESS)


def test_an_object_has_a_limited_number_of_addresses():
    """A guest that invents some does not use up the members of other people's policies."""
    many = [f"10.9.{n // 250}.{n % 250 + 1}" for n in range(5000)]
    record, (report,) = parse_virtual_machine(machine(ipAddresses=many))
    assert len(addresses(record)) == MOST_ADDRESSES
    assert "there are 5000 of them, only the first 16 count" in report.message
    raw = machine()
    raw["status"]["interfaces"] = [raw["status"]["interfaces"][1]] * 5000
    record, (report,) = parse_virtual_machine(raw)
    assert len(record.interfaces) == MOST_INTERFACES
    assert report.field == "status.interfaces"


def test_a_claim_has_addresses_with_prefix_lengths():
    record, reports = parse_ipam_claim(CLAIM)
    assert reports == ()
    assert record.interfaces == (
        RecordedInterface(
            interface="pod16477688c0e", addresses=(parse_address("10.9.0.5"), parse_address("fd00:9::5"))
        ),
    )


def test_a_claim_without_addresses_has_none_yet():
    assert parse_ipam_claim(CLAIM | {"status": {}}) == parse_ipam_claim({**CLAIM, "status": None})
    assert parse_ipam_claim(CLAIM | {"status": {}})[0].interfaces == ()


PARSERS = [
    pytest.param(parse_virtual_machine, MACHINE, id="kubevirt"),
    pytest.param(parse_virtual_machine_and_guest, machine(infoSource=BY_AGENT), id="kubevirt-guest-agent"),
    pytest.param(parse_ipam_claim, CLAIM, id="ipam-claims"),
]
JUNK = [None, 42, -1.5, True, "", "junk", [], [[]], {}, {"junk": [1]}, [None], ["junk"], [42], "x" * 100_000]


@pytest.mark.parametrize(("parse", "raw"), PARSERS)
def test_nothing_in_an_object_makes_its_parser_fall_or_adds_an_address(parse, raw):
    """S6, S75: junk in every place."""
    known = set(addresses(parse(raw)[0]))
    before = json.dumps(raw)
    for path in paths(raw):
        for junk in (*JUNK, *HOSTILE_TEXTS):
            spoilt = copy.deepcopy(raw)
            at(spoilt, path[:-1])[path[-1]] = junk
            try:
                record, reports = parse(spoilt)
            except InputError:
                assert path[0] == "metadata"
                continue
            assert set(addresses(record)) <= known
            assert {report.about for report in reports} <= {record.ref}
            assert all(len(report.message) < 300 for report in reports)
    assert json.dumps(raw) == before


def paths(value, here=()):
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in items:
        yield (*here, key)
        yield from paths(child, (*here, key))


def at(value, path):
    for key in path:
        value = value[key]
    return value
