"""Connection tracking as a process with CAP_NET_ADMIN writes it: entries of flows that never were."""

import ctypes
import os
import socket
import struct

NEW = 1 << 8  # NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_NEW
REQUEST, ACK, CREATE, EXCLUSIVE = 1, 4, 0x400, 0x200  # NLM_F_*
ORIGINAL, REPLY, STATUS, TIMEOUT = 1, 2, 3, 7  # CTA_*
SEEN_REPLY, ASSURED, CONFIRMED = 2, 4, 8  # IPS_*
NET_ADMIN, CAPABILITY_VERSION = 12, 0x20080522
libc = ctypes.CDLL(None, use_errno=True)


def attribute(kind, payload):
    return struct.pack("=HH", len(payload) + 4, kind) + payload + bytes(-len(payload) % 4)


def nested(kind, *inner):
    return attribute(kind | 0x8000, b"".join(inner))


def flow(kind, source, destination):
    """A tuple of UDP; each end is an IPv4 address and a port."""
    addresses = [attribute(number, socket.inet_aton(end[0])) for number, end in ((1, source), (2, destination))]
    ports = [attribute(number, struct.pack(">H", end[1])) for number, end in ((2, source), (3, destination))]
    protocol = attribute(1, bytes([socket.IPPROTO_UDP]))
    return nested(kind, nested(1, *addresses), nested(2, protocol, *ports))


def forge(source, destination):
    """Have the kernel of the calling thread's namespace believe that a flow was answered; raises OSError."""
    body = struct.pack("=BBH", socket.AF_INET, 0, 0)
    body += flow(ORIGINAL, source, destination) + flow(REPLY, destination, source)
    body += attribute(STATUS, struct.pack(">I", SEEN_REPLY | ASSURED | CONFIRMED)) + attribute(
        TIMEOUT, struct.pack(">I", 600)
    )
    header = struct.pack("=IHHII", 16 + len(body), NEW, REQUEST | ACK | CREATE | EXCLUSIVE, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12) as kernel:  # NETLINK_NETFILTER
        kernel.send(header + body)
        (number,) = struct.unpack_from("=i", kernel.recv(4096), 16)
    if number:
        raise OSError(-number, os.strerror(-number))


def give_up_net_admin():
    """Take the capability away from the calling process, which stays root otherwise."""
    header = struct.pack("=Ii", CAPABILITY_VERSION, 0)
    data = ctypes.create_string_buffer(24)
    if libc.capget(header, data):
        raise OSError(ctypes.get_errno(), "capget")
    words = list(struct.unpack("=6I", data.raw))
    words[:3] = (word & ~(1 << NET_ADMIN) for word in words[:3])
    if libc.capset(header, struct.pack("=6I", *words)):
        raise OSError(ctypes.get_errno(), "capset")


def forge_without_net_admin(source, destination):
    """The same by a process without the capability; returns the error's number, 0 if there was none."""
    child = os.fork()
    if child == 0:
        number = 255
        try:
            give_up_net_admin()
            forge(source, destination)
            number = 0
        except OSError as error:
            number = error.errno
        finally:
            os._exit(number)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
