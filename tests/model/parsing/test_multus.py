"""The network-status that Multus 4.2 really writes, recorded on the test bed, byte by byte (S3).

The results of `two` and all that follow it were made up by a CNI plugin that returns the result in its configuration.
"""

import json
from pathlib import Path

import pytest

from mnp_core.model.parsing import NETWORK_STATUS, parse_pod

RECORDED = json.loads((Path(__file__).parent / "data/multus-4.2.json").read_text())["annotations"]


def read(name):
    """Statuses, each as network, interface and addresses; the default network's interfaces; reports."""
    metadata = {"name": "p", "namespace": "demo", "annotations": {NETWORK_STATUS: RECORDED[name]}}
    pod, reports = parse_pod({"metadata": metadata})
    told = [(str(each.network), each.interface, [*map(str, each.addresses)]) for each in pod.statuses]
    return told, set(pod.default_interfaces), [report.message for report in reports]


def test_a_pod_without_secondary_networks():
    assert read("alone") == ([], {"eth0"}, [])


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("macvlan", [("demo/macvlan", "net1", ["10.88.1.2"])]),
        ("dual", [("demo/dual", "net1", ["10.88.2.2", "fd00:88::2"])]),
        ("dns", [("demo/dns", "net1", ["10.88.4.2"])]),
        ("several", [("demo/macvlan", "net1", ["10.88.1.3"]), ("demo/bridge", "data", ["10.88.3.3"])]),
        ("twice", [("demo/macvlan", "net1", ["10.88.1.4"]), ("demo/macvlan", "net2", ["10.88.1.5"])]),
    ],
)
def test_usual_networks(name, told):
    """Objects are joined without a blank, and `dns` is always there."""
    assert "},{" in RECORDED[name]
    assert '"dns": {' in RECORDED[name]
    assert read(name) == (told, {"eth0"}, [])


def test_empty_fields_are_left_out():
    """`default` where it is false, `ips` without addresses: neither is a fault."""
    entry = json.loads(RECORDED["no-ipam"])[1]
    assert entry.keys() == {"name", "interface", "mac", "dns"}
    assert read("no-ipam") == ([("demo/no-ipam", "net1", [])], {"eth0"}, [])


def test_there_is_one_entry_for_each_interface_of_a_result():
    assert read("two") == (
        [("demo/two", "net1", ["10.88.8.2"]), ("demo/two", "extra0", ["10.88.8.3"])],
        {"eth0"},
        [],
    )


def test_two_entries_may_be_of_one_network_and_one_interface():
    """Such as the result of a plugin that lists an interface twice."""
    assert read("same") == ([("demo/same", "net1", ["10.88.8.2"]), ("demo/same", "net1", [])], {"eth0"}, [])


@pytest.mark.parametrize("name", ["old", "none"])
def test_a_result_without_interfaces_leaves_no_entry(name):
    """Of a macvlan network of CNI 0.2.0, and of a plugin that names none: the interface is there all the same."""
    assert read(name) == ([], {"eth0"}, [])


def test_addresses_that_name_no_interface_are_of_the_last_one():
    assert read("loose") == (
        [("demo/loose", "net1", ["10.88.10.3"]), ("demo/loose", "net2", ["10.88.10.2"])],
        {"eth0"},
        [],
    )


def test_an_entry_without_an_interface_is_reported_and_its_addresses_are_the_pods():
    """A result with interfaces of the host alone."""
    told, defaults, reported = read("host")
    assert (told, defaults) == ([("demo/host", "", ["10.88.11.2"])], {"eth0"})
    assert len(reported) == 1
    assert "demo/host" in reported[0]


@pytest.mark.parametrize(("name", "gateway"), [("nogw", "<nil>"), ("gw", "10.88.12.1")])
def test_a_gateway_is_not_looked_at(name, gateway):
    """It may say <nil>, of a default route without one."""
    assert json.loads(RECORDED[name])[1]["gateway"] == [gateway]
    assert read(name) == ([(f"demo/{name}", "net1", ["10.88.12.2"])], {"eth0"}, [])
