"""Pods: the fields that concern policy."""

import json
from ipaddress import ip_address

import pytest

from mnp_core.model import ContainerPort, NetworkStatus, ObjectName, Protocol, Reason
from mnp_core.model.parsing import NETWORK_STATUS, parse_pod
from mnp_core.model.parsing.status import MOST

STATUS = f"metadata.annotations[{NETWORK_STATUS}]"
DEFAULT = {"name": "cbr0", "interface": "eth0", "ips": ["10.244.0.5"], "default": True, "dns": {}}


def pod_with(status):
    """The pod with this annotation, and the fields of its reports."""
    text = status if isinstance(status, str) else json.dumps(status)
    pod, reports = parse_pod({"metadata": {"name": "p", "namespace": "ns", "annotations": {NETWORK_STATUS: text}}})
    assert {report.reason for report in reports} <= {Reason.INVALID_STATUS}
    return pod, [report.field.removeprefix(STATUS) for report in reports]


def entry(**fields):
    return {"name": "net", "interface": "net1", "ips": ["10.0.0.1"], **fields}


def read_one(**fields):
    pod, places = pod_with([entry(**fields)])
    (status,) = pod.statuses
    return status, places


# --- network-status -----------------------------------------------------------------------------------------------


def test_every_field_of_the_meta_plugin():
    """S3."""
    device = {"type": "pci", "version": "1.1.0", "pci": {"pci-address": "0000:18:02.5"}}
    own = entry(name="other/net", ips=["10.0.0.1", "2001:db8::1"], mac="02:AB:00:00:00:01", **{"device-info": device})
    pod, places = pod_with([DEFAULT, own])
    assert pod.statuses == (
        NetworkStatus(
            network=ObjectName("other", "net"),
            interface="net1",
            addresses=(ip_address("10.0.0.1"), ip_address("2001:db8::1")),
            mac="02:ab:00:00:00:01",
            device_pci="0000:18:02.5",
        ),
    )
    assert pod.default_interfaces == {"eth0"}
    assert places == []


def test_a_bare_name_is_in_the_namespace_of_the_pod_and_a_network_may_come_twice():
    """S3."""
    pod, places = pod_with([entry(), entry(interface="net2", ips=["10.0.0.2"])])
    assert [(str(status.network), status.interface) for status in pod.statuses] == [
        ("ns/net", "net1"),
        ("ns/net", "net2"),
    ]
    assert places == []


@pytest.mark.parametrize("default", [DEFAULT, {"interface": "eth0", "ips": ["10.244.0.5"]}, {**DEFAULT, "name": ""}])
def test_the_default_network_is_no_attachment(default):
    """S3: it is known by `default: true`, or by having no name."""
    pod, places = pod_with([default])
    assert (pod.statuses, pod.default_interfaces, places) == ((), {"eth0"}, [])


@pytest.mark.parametrize("text", ["", " ", "null", "[]"])
def test_nothing_attached_is_no_problem(text):
    assert pod_with(text)[1] == []


@pytest.mark.parametrize(
    "text", ["{", "[}", "{}", '"net"', "NaN", "[NaN]", "[1e999, Infinity]", "[" * 100_000, "1" * 5000]
)
def test_an_annotation_that_cannot_be_read_is_reported(text):
    """S3."""
    pod, places = pod_with(text)
    assert pod.statuses == ()
    assert places


def test_an_annotation_that_is_larger_than_any_object_is_not_decoded():
    pod, places = pod_with("[" + " " * 2_000_000 + "]")
    assert (pod.statuses, places) == ((), [""])


@pytest.mark.parametrize(
    "status", [None, "net", 7, [], {"name": "a/b/c"}, {"name": 5}, {"name": "Net"}, {"name": ["net"]}]
)
def test_malformed_entries_are_reported_and_the_others_count(status):
    """S3, S6."""
    pod, places = pod_with([status, entry()])
    assert [str(each.network) for each in pod.statuses] == ["ns/net"]
    assert places in (["[0]"], ["[0].name"])


@pytest.mark.parametrize("name", ["net1", "eth0.100", "bond0", "net1-0", "NET_1", "a", "x" * 15, "0eth"])
def test_interface_names(name):
    """S3."""
    assert read_one(interface=name)[0].interface == name


@pytest.mark.parametrize(
    "name",
    [
        None,
        "",
        "x" * 16,
        "lo",
        ".",
        "..",
        "all",
        "default",
        "a b",
        "a%b",
        "a/b",
        "a:b",
        "a\n",
        "à23456789012345",
        7,
    ],
)
def test_an_interface_that_cannot_be_is_not_enforced_but_its_addresses_still_are_the_pods(name):
    """S3, S21, S64."""
    status, places = read_one(interface=name)
    assert status.interface == ""
    assert status.addresses == (ip_address("10.0.0.1"),)
    assert places == ["[0].interface"]


@pytest.mark.parametrize("name", ["net1@if2", "net+1", "eth*", "-a", 'a"', "a;b", "nét", "a,b", "[x]", "\x1b[0m"])
def test_every_name_that_the_kernel_takes_is_taken(name):
    """S64: Multus takes ``site/lan@net+1``, and so does the kernel."""
    status, places = read_one(interface=name)
    assert (status.interface, places) == (name, [])


def test_the_interface_of_the_default_network_is_never_enforced():
    """S3: in any order of the entries."""
    pod, places = pod_with([entry(interface="eth0"), DEFAULT])
    assert [status.interface for status in pod.statuses] == [""]
    assert places == ["[0].interface"]


NO_ADDRESSES = ["10.0.0.300", "net", "", None, 7, "fe80::1%1"]
NO_POD_ADDRESSES = ["127.0.0.1", "::1", "::ffff:127.0.0.1", "0.0.0.0", "::", "224.0.0.1", "ff02::1", "255.255.255.255"]  # noqa: S104 # text


@pytest.mark.parametrize("address", NO_ADDRESSES + NO_POD_ADDRESSES)
def test_an_address_that_no_pod_can_have_is_reported_and_the_others_count(address):
    """S3."""
    status, places = read_one(ips=[address, "10.0.0.1", "10.0.0.1"])
    assert status.addresses == (ip_address("10.0.0.1"),)
    assert places == ["[0].ips[0]"]


def test_addresses_are_normalised():
    """S25."""
    status, places = read_one(ips=["::ffff:10.0.0.1", "10.0.0.2/24", "2001:DB8:0::1"])
    assert list(map(str, status.addresses)) == ["10.0.0.1", "10.0.0.2", "2001:db8::1"]
    assert places == []


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"ips": "10.0.0.1"}, "[0].ips"),
        ({"mac": "nonsense"}, "[0].mac"),
        ({"mac": 7}, "[0].mac"),
        ({"device-info": {"pci": {"pci-address": "../../x"}}}, "[0].device-info.pci.pci-address"),
    ],
)
def test_details_that_are_malformed_are_left_out(fields, place):
    """S3, S6."""
    status, places = read_one(**fields)
    assert (status.interface, status.mac, status.device_pci) == ("net1", "", "")
    assert places == [place]


def test_there_is_an_end_to_attachments_and_addresses():
    addresses = [f"10.0.{number // 250}.{number % 250 + 1}" for number in range(MOST + 1)]
    pod, places = pod_with([entry(interface=f"net{number}", ips=addresses) for number in range(MOST + 1)])
    assert len(pod.statuses) == MOST
    assert {len(status.addresses) for status in pod.statuses} == {MOST}
    assert places[:2] == ["", "[0].ips"]


# --- the rest -----------------------------------------------------------------------------------------------------


def pod(spec=None, status=None, **metadata):
    parsed, reports = parse_pod({"metadata": {"name": "p", **metadata}, "spec": spec, "status": status})
    return parsed, [report.field for report in reports]


def test_ports_of_containers_and_of_init_containers_that_keep_running():
    """S31."""
    spec = {
        "initContainers": [
            {"name": "once", "ports": [{"containerPort": 1}]},
            {"name": "sidecar", "restartPolicy": "Always", "ports": [{"containerPort": 2, "name": "side"}]},
        ],
        "containers": [
            {"ports": [{"containerPort": 80, "name": "http"}, {"containerPort": 53, "protocol": "UDP"}]},
            {"ports": None},
            {"ports": [{"containerPort": 8080, "name": "http"}]},
        ],
    }
    parsed, places = pod(spec)
    assert parsed.ports == (
        ContainerPort(name="http", protocol=Protocol.TCP, port=80),
        ContainerPort(name="", protocol=Protocol.UDP, port=53),
        ContainerPort(name="http", protocol=Protocol.TCP, port=8080),
        ContainerPort(name="side", protocol=Protocol.TCP, port=2),
    )
    assert places == []


@pytest.mark.parametrize(
    ("port", "name", "place"),
    [
        ({"containerPort": "80"}, None, ""),
        ({"containerPort": True}, None, ""),
        ({"containerPort": 0}, None, ""),
        ({"containerPort": 80, "protocol": "tcp"}, None, ""),
        (80, None, ""),
        ({"containerPort": 80, "name": "Http"}, "", ".name"),
        ({"containerPort": 80, "name": 7}, "", ".name"),
    ],
)
def test_container_ports_that_cannot_be_are_left_out(port, name, place):
    """S31, S6."""
    parsed, places = pod({"containers": [{"ports": [port, {"containerPort": 443}]}]})
    assert [found.name for found in parsed.ports] == ([] if name is None else [name]) + [""]
    assert places == [f"spec.containers[0].ports[0]{place}"]


def test_a_mirror_pod_claims_the_uid_of_a_static_pod():
    metadata = {"name": "p", "uid": "u-1", "annotations": {"kubernetes.io/config.mirror": "9c1c5e1d"}}
    parsed, reports = parse_pod({"metadata": metadata})
    assert (parsed.uid, parsed.static_uid, reports) == ("u-1", "9c1c5e1d", ())
    parsed, reports = parse_pod({"metadata": {**metadata, "annotations": {"kubernetes.io/config.mirror": 7}}})
    assert (parsed.static_uid, len(reports)) == ("", 1)


def test_where_and_how_a_pod_runs():
    """S5."""
    parsed, places = pod({"nodeName": "n1", "hostNetwork": True}, {"phase": "Failed"}, uid="u-1")
    assert (parsed.node, parsed.host_network, parsed.phase, parsed.uid) == ("n1", True, "Failed", "u-1")
    assert places == []


@pytest.mark.parametrize(
    ("spec", "status", "places"),
    [
        ({"hostNetwork": "true"}, None, ["spec.hostNetwork"]),
        ({"nodeName": 7}, None, ["spec.nodeName"]),
        (None, {"phase": ["Failed"]}, ["status.phase"]),
        ({"containers": {}}, None, ["spec.containers"]),
    ],
)
def test_details_of_a_wrong_type_are_reported_and_the_pod_still_counts(spec, status, places):
    """S5, S6."""
    parsed, found = pod(spec, status)
    assert parsed.counts
    assert found == places


def test_only_labels_that_are_text_count():
    parsed, places = pod(labels={"app": "web", "n": 1, 2: "two", "empty": "", "none": None, "bad\nkey": []})
    assert parsed.labels == {"app": "web", "empty": ""}
    assert sorted(places) == [
        r"metadata.labels['bad\nkey']",
        "metadata.labels[2]",
        "metadata.labels[n]",
        "metadata.labels[none]",
    ]


@pytest.mark.parametrize("wrong", ["web", [], 7])
def test_labels_and_annotations_of_a_wrong_type_are_reported(wrong):
    parsed, places = pod(labels=wrong, annotations=wrong)
    assert (parsed.labels, parsed.statuses) == ({}, ())
    assert sorted(places) == ["metadata.annotations", "metadata.labels"]
