"""Frames that a process puts on the wire itself: no hook of the IP stack sees them."""

import socket

import pytest

from mnp_core.testing.frames import multicast_frame
from mnp_core.testing.hosts import POD, arrives
from mnp_core.testing.policies import allow, isolated, only
from mnp_core.testing.sending import drops_expected

pytestmark = pytest.mark.root

ARP, IPV6 = 0x0806, 0x86DD  # <linux/if_ether.h>
SOL_PACKET, PACKET_QDISC_BYPASS = 263, 20


def send(wire, port, token, *, said=IPV6, bypass=False):
    """A frame with a datagram to all neighbours, of which the socket says that it is something else."""
    sender = wire.pod.socket(socket.AF_PACKET, socket.SOCK_RAW)
    if bypass:
        sender.setsockopt(SOL_PACKET, PACKET_QDISC_BYPASS, 1)
    with drops_expected():
        sender.sendto(multicast_frame(POD[6], "ff02::1", port, token), ("net1", said))


@pytest.mark.parametrize("said", [IPV6, ARP, 0])
def test_egress_rules_hold_for_packet_sockets(wire, said):
    wire.pod.enforce(only(egress=isolated(allow(ports=["UDP/80"]))))
    for port, expected in ((80, True), (81, False)):
        target, token = wire.peer.udp("::", port), b"a frame to port %d" % port
        send(wire, port, token, said=said)
        assert arrives(target, token, expected=expected) is expected


def test_a_socket_that_bypasses_traffic_control_gets_past(wire):
    """Not wanted, but told in docs/security.md: should a kernel close it one day, the page is to change."""
    wire.pod.enforce(only(egress=isolated()))
    target, token = wire.peer.udp("::", 81), b"a frame past everything"
    send(wire, 81, token, bypass=True)
    assert arrives(target, token, expected=True)
