"""The program's own table of connections."""

import socket
import struct

import pytest

from mnp_core.testing.hosts import FAMILIES, PEER, POD, QUIET, arrives, works
from mnp_core.testing.policies import DENY, allow, isolated, only
from mnp_ebpf.pod import open_maps

pytestmark = pytest.mark.root
both_families = pytest.mark.parametrize("family", FAMILIES)


def connections(wire):
    """How many are in each table."""

    def count():
        with open_maps() as maps:
            return len(maps.flows.read()), len(maps.nascent.read())

    return wire.pod.run(count)


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


def test_denied_packets_leave_nothing(wire):
    wire.pod.enforce(only(ingress=DENY))
    wire.pod.run(wire.pod.applier.forget_connections)
    wire.crowd(2000)
    assert sum(connections(wire)) < 20
