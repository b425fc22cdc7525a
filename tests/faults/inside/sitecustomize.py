"""Runs inside the agent's process, first on PYTHONPATH: its calls to netlink fail as the test orders.

The program itself is the real one. The order is the file ``order`` in the folder MNP_FAULTS, one JSON object; without
that file nothing happens. Each fault that happens adds a byte to the file ``fired``.

    {"do": "error", "codes": [11, 105], "every": 3}   every third call fails, with these numbers in turn
    {"do": "kill", "on": "commit", "number": 1, "when": "before"}   SIGKILL around the nth commit, or the nth "send"
    {"do": "spoil", "old": "immediate", "new": "immediatf"}   commits say another word: the kernel refuses them
    {"do": "answer", "code": 12, "number": 1}   the nth commit is not sent, the answer is this error: no memory
    {"do": "pause"}   the next commit waits until the file ``go`` is there
    {"do": "refuse"}   no netfilter netlink: EPROTONOSUPPORT
"""

import ctypes
import errno
import json
import os
import signal
import socket
import struct
import time
from itertools import count
from pathlib import Path

FOLDER = Path(os.environ["MNP_FAULTS"])
BATCH_BEGIN = 0x10  # NFNL_MSG_BATCH_BEGIN
NETFILTER = 12
PATIENCE = 20  # seconds


class Order:
    """The standing order, read anew when its file changes."""

    def __init__(self):
        self._read, self._given = None, None
        self.calls, self.hits = count(1), count(1)

    def current(self):
        try:
            written = (FOLDER / "order").stat().st_mtime_ns
        except OSError:
            self._read, self._given = None, None
            return None
        if written != self._read:
            try:
                self._given = json.loads((FOLDER / "order").read_bytes())
            except OSError:  # no descriptor left, or no order any more
                return None
            self._read, self.calls, self.hits = written, count(1), count(1)
        return self._given


order = Order()


def fire():
    descriptor = os.open(FOLDER / "fired", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC)
    os.write(descriptor, b".")
    os.close(descriptor)


def failing():
    """The number of the error of this call; 0 for none."""
    given = order.current()
    if given is None or given["do"] != "error":
        return 0
    number = next(order.calls)
    if number % given["every"]:
        return 0
    fire()
    return given["codes"][number // given["every"] % len(given["codes"])]


def check():
    if code := failing():
        raise OSError(code, os.strerror(code))


def is_commit(data):
    return len(data) >= 6 and struct.unpack_from("=H", data, 4)[0] == BATCH_BEGIN


class Socket(socket.socket):
    """A socket with faults in netlink calls."""

    def __init__(self, family=-1, type=-1, proto=-1, fileno=None):  # noqa: A002 - as the original calls them
        netlink = family == socket.AF_NETLINK
        self._netfilter = netlink and proto == NETFILTER
        if netlink:
            check()
            self._refuse()
        super().__init__(family, type, proto, fileno)
        self._netlink, self._answer = netlink, None

    def _refuse(self):
        given = order.current()
        if given is not None and given["do"] == "refuse" and self._netfilter:
            fire()
            raise OSError(errno.EPROTONOSUPPORT, os.strerror(errno.EPROTONOSUPPORT))

    def send(self, data, *arguments):
        if not self._netlink:
            return super().send(data, *arguments)
        check()
        return self._send(data, *arguments)

    def _send(self, data, *arguments):
        given = order.current()
        if given is None or not self._netfilter:
            return super().send(data, *arguments)
        if (given["do"] == "kill" and given["on"] == "send") or is_commit(data):
            return self._send_as_ordered(given, data, *arguments)
        return super().send(data, *arguments)

    def _send_as_ordered(self, given, data, *arguments):
        hit, do = next(order.hits) == given.get("number"), given["do"]
        if hit and do == "answer":
            self._answer = refusal(given["code"])
            return len(data)
        if hit and do == "kill" and given["when"] == "before":
            die()
        if do == "pause":
            pause()
        sent = super().send(spoilt(data, given) if do == "spoil" else data, *arguments)
        if hit and do == "kill":
            die()
        return sent

    def recv(self, *arguments):
        if not self._netlink:
            return super().recv(*arguments)
        check()
        answer, self._answer = self._answer, None
        return answer or super().recv(*arguments)


def die():
    fire()
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(PATIENCE)


def refusal(code):
    """The kernel's answer to the first message of a transaction: struct nlmsghdr, struct nlmsgerr."""
    fire()
    return struct.pack("=IHHII", 36, 2, 0, 2, 0) + struct.pack("=i", -code) + bytes(16)


def spoilt(data, given):
    """The transaction with another word in the last place that has it."""
    old, new = given["old"].encode(), given["new"].encode()
    place = bytes(data).rfind(old)
    if place < 0:
        return data
    fire()
    return bytes(data[:place]) + new + bytes(data[place + len(old) :])


def pause():
    fire()
    end = time.monotonic() + PATIENCE
    while not (FOLDER / "go").exists() and time.monotonic() < end:
        time.sleep(0.001)


class Libc:
    """The C library, with faults in socket calls, all of netlink (`mnp_core.netfilter.nf_tables.generation`)."""

    def __init__(self, real):
        self._real = real
        self.socket, self.send, self.recv = (self._failing(getattr(real, name)) for name in ("socket", "send", "recv"))

    def __getattr__(self, name):
        return getattr(self._real, name)

    def _failing(self, function):
        def call(*arguments):
            if code := failing() or self._refused():
                ctypes.set_errno(code)
                return -1
            return function(*arguments)

        return call

    def _refused(self):
        given = order.current()
        if given is None or given["do"] != "refuse":
            return 0
        fire()
        return errno.EPROTONOSUPPORT


real_dll = ctypes.PyDLL
socket.socket = Socket
ctypes.PyDLL = lambda name, *arguments, **options: (Libc if name is None else lambda dll: dll)(
    real_dll(name, *arguments, **options)
)
