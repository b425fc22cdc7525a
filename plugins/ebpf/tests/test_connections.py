"""The program's own table of connections."""

import os
import socket
import struct

import pytest
from attrs import evolve

from mnp_core.model import CommonRules
from mnp_core.testing.hosts import FAMILIES, PEER, POD, QUIET, arrives, passes, works
from mnp_core.testing.policies import DENY, allow, isolated, only
from mnp_ebpf.attachment import open_pod

pytestmark = pytest.mark.root
both_families = pytest.mark.parametrize("family", FAMILIES)


def connections(wire):
    """How many are in each table."""

    return wire.pod.run(lambda: with_maps(wire, lambda maps: (len(maps.flows.read()), len(maps.nascent.read()))))


def with_maps(wire, read):
    with open_pod(wire.pod.applier.attacher) as pod:
        return read(pod.maps)


@both_families
def test_a_reply_in_fragments_passes(wire, family):
    wire.pod.enforce(only(ingress=DENY))
    server, client = wire.peer.udp(PEER[family], 53), wire.pod.udp(POD[family], 4000)
    client.sendto(b"a question", (PEER[family], 53))
    server.sendto(b"a long answer" + bytes(5000), (POD[family], 4000))
    assert arrives(client, b"a long answer", expected=True)
    wire.pod.run(wire.pod.applier.forget_connections)
    server.sendto(b"another answer" + bytes(5000), (POD[family], 4000))
    assert not arrives(client, b"another answer")


def test_a_connection_that_is_opened_again_is_judged_again(wire):
    """S42: the kernel may take the same ports; that is no established connection."""
    wire.pod.enforce(only(ingress=isolated(allow(ports=["TCP/80"]))))
    near, far = wire.connection(wire.peer, wire.pod, 80)
    port = near.getsockname()[1]
    wire.pod.enforce(only(ingress=DENY))
    assert works(near, far)
    near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset: the port is free at once
    near.close()
    wire.pod.listener(POD[4], 80)
    again = wire.peer.socket(socket.AF_INET, socket.SOCK_STREAM)
    again.bind((PEER[4], port))
    again.settimeout(QUIET)
    with pytest.raises(TimeoutError):
        again.connect((POD[4], 80))


@pytest.mark.full
def test_a_crowd_of_first_packets_gets_no_place_among_those_in_use(wire):
    wire.pod.enforce(only(ingress=isolated(allow())))
    pair = wire.connection(wire.peer, wire.pod, 80)
    wire.pod.udp(POD[4], 80)
    before, _ = connections(wire)
    wire.crowd(20_000)
    in_use, nascent = connections(wire)
    assert before <= in_use < before + 10
    assert 0 < nascent <= 8192
    assert works(*pair)


def evictions(wire):
    return wire.pod.run(wire.pod.applier.evictions)


def use(wire, ports):
    """Use connections from these ports of the peer to UDP port 81 of the pod: each opener goes on after a reply."""
    server = wire.pod.udp(POD[4], 81)
    for port in ports:
        client = wire.peer.udp(PEER[4], port)
        client.connect((POD[4], 81))
        for _ in range(2):
            client.send(b"?")
            server.sendto(b"!", server.recvfrom(9)[1])
            assert client.recv(9)


def with_table(size, **rules):
    return evolve(only(**rules), common=CommonRules(connection_table_size=size))


def test_a_flood_of_first_packets_evicts_its_own_kind_alone(wire):
    """S42: those in use keep their places, and the counts say so."""
    wire.pod.enforce(with_table(512, ingress=isolated(allow(["10.0.0.0/8"], ["TCP/80", "UDP/80-81"]))))
    pair = wire.connection(wire.peer, wire.pod, 80)
    use(wire, range(20000, 20100))
    wire.crowd(5000)
    found = evictions(wire)
    assert found["established"] == 0
    assert 5000 - 256 <= found["nascent"] <= 5000 + 256
    wire.pod.enforce(with_table(512, ingress=DENY, egress=DENY))
    assert works(*pair)
    assert used_still_work(wire, range(20000, 20100)) == 100


def used_still_work(wire, ports):
    """How many of these connections still carry a packet in."""
    server = wire.pod.udp(POD[4], 81)
    return sum(passes(wire.peer.udp(PEER[4], port), server, (POD[4], 81)) for port in ports)


def test_more_connections_in_use_than_the_table_holds_are_counted(wire):
    wire.pod.enforce(with_table(512, ingress=isolated(allow(ports=["UDP/81"]))))
    use(wire, range(20000, 20700))
    lost = evictions(wire)["established"]
    assert 700 - 512 <= lost <= 700 - 512 + 128 * os.cpu_count()  # the kernel keeps spare places for each processor
    wire.pod.run(wire.pod.applier.forget_connections)
    assert evictions(wire) == {"established": 0, "nascent": 0}


def test_a_pod_keeps_the_size_of_its_table(wire):
    for size in (64, 4096):
        wire.pod.enforce(with_table(size, ingress=DENY))
        sizes = wire.pod.run(lambda: with_maps(wire, lambda maps: (maps.flows.entries, maps.nascent.entries)))
        assert sizes == (64, 32)


def test_denied_packets_leave_nothing(wire):
    wire.pod.enforce(only(ingress=DENY))
    wire.pod.run(wire.pod.applier.forget_connections)
    wire.crowd(2000)
    assert sum(connections(wire)) < 20
