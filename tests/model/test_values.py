"""Names, networks, ports and pods: the little that these values do themselves."""

import pytest

from mnp_core.model import ContainerPort, NamedPort, Network, ObjectName, ObjectRef, Pod, PortRange, Protocol


def test_names_print_as_kubernetes_writes_them_and_sort_by_namespace():
    assert str(ObjectRef("Pod", ObjectName("ns", "web"))) == "Pod ns/web"
    assert str(ObjectRef("Namespace", ObjectName("", "ns"))) == "Namespace ns"
    assert sorted([ObjectName("b", "a"), ObjectName("a", "z")])[0] == ObjectName("a", "z")


@pytest.mark.parametrize(
    ("types", "kind"),
    [(("tuning", "macvlan"), "macvlan"), (("bridge",), None), ((), None), (("macvlan", "sbr"), "macvlan")],
)
def test_the_kind_is_the_first_claimed_type(types, kind):
    """S4."""
    assert Network(name=ObjectName("ns", "net"), cni_types=types).kind({"macvlan", "sriov"}) == kind


def test_a_range_holds_both_its_ends_and_one_protocol():
    """S32."""
    ports = PortRange(protocol=Protocol.TCP, first=80, last=90)
    assert [ports.contains(Protocol.TCP, port) for port in (79, 80, 90, 91)] == [False, True, True, False]
    assert not ports.contains(Protocol.UDP, 80)
    assert not ports.contains(Protocol.TCP, None)
    assert str(ports) == "TCP/80-90"


def test_every_port_includes_packets_whose_port_is_not_known():
    """S30, S46: a later fragment has no ports."""
    assert PortRange.every(Protocol.UDP).contains(Protocol.UDP, None)
    assert str(PortRange.every(Protocol.UDP)) == "UDP"
    assert str(NamedPort(protocol=Protocol.SCTP, name="sig")) == "SCTP/sig"


@pytest.mark.parametrize(
    ("phase", "host_network", "counts"),
    [
        ("Running", False, True),
        ("Pending", False, True),
        ("", False, True),
        ("Unknown", False, True),
        ("Succeeded", False, False),
        ("Failed", False, False),
        ("Running", True, False),
    ],
)
def test_which_pods_count(phase, host_network, counts):
    """S5."""
    pod = Pod(
        name=ObjectName("ns", "p"),
        labels={},
        phase=phase,
        host_network=host_network,
        ports=(ContainerPort(name="", protocol=Protocol.TCP, port=80),),
    )
    assert pod.counts is counts
