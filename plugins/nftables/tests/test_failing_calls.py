"""Every system call of the applier fails once, with each of its errors: the old or the new state is in force."""

import ctypes
import errno
import os
import re
import socket
import struct
from contextlib import suppress
from itertools import count

import pytest

from mnp_core.errors import ApplyError
from mnp_core.model import GroupDelta
from mnp_core.netfilter import kept, netlink, nfnetlink
from mnp_core.netfilter.messages import BATCH_BEGIN
from mnp_core.sandbox.netns import run_inside
from mnp_core.testing import nft
from mnp_core.testing.netns import private_namespace
from mnp_nftables import NftablesApplier, NftablesRenderer
from mnp_nftables.replacement import is_in_force
from plugins.nftables.tests.policies import DENY, GROUP, addresses, allow, interface, isolated, sandbox

pytestmark = pytest.mark.root
applier, renderer = NftablesApplier(), NftablesRenderer()
ERRORS = [errno.EMFILE, errno.ENOBUFS, errno.ENOMEM, errno.EPERM, errno.EBUSY, errno.EAGAIN, errno.EIO]
BEFORE, AFTER = addresses(GROUP, "10.0.0.2"), addresses(GROUP, "10.0.0.3", "fd00::3")
OLD = renderer.render(sandbox(interface("net1", ingress=isolated(allow([GROUP], ["TCP/80"]))), groups=[BEFORE]))
GROWN = renderer.render(sandbox(interface("net1", ingress=isolated(allow([GROUP], ["TCP/80"]))), groups=[AFTER]))
NEW = renderer.render(sandbox(interface("net2", ingress=isolated(allow(ports=["TCP/80", "TCP/443"])), egress=DENY)))
WORK = {
    "apply": (lambda: applier.apply(NEW), (OLD, NEW)),
    "update": (lambda: applier.update(renderer.render_delta(GroupDelta(before=BEFORE, after=AFTER))), (OLD, GROWN)),
    "installed": (applier.installed, (OLD,)),
    "counters": (applier.counters, (OLD,)),
    "generation": (applier.generation, (OLD,)),
    "remove": (applier.remove, (OLD, None)),
}

_REMEDIES = "limit of open files|out of memory|CAP_NET_ADMIN|tried again|look at the other rules|list the rules"


class Faults:
    """Fails the nth system call, before it is made; one that receives may have lost its answer, too."""

    def __init__(self, monkeypatch):
        self.calls, self.fails_at, self.code, self.lost = count(1), 0, 0, False
        real, faults = socket.socket, self

        class Socket(real):
            def __init__(self, *arguments, **options):
                faults.call(self)
                super().__init__(*arguments, **options)

            def setsockopt(self, *arguments):
                faults.call(self)
                return super().setsockopt(*arguments)

            def connect(self, *arguments):
                faults.call(self)
                return super().connect(*arguments)

            def send(self, *arguments):
                faults.call(self)
                return super().send(*arguments)

            def recv(self, *arguments):
                faults.call(self, lambda: real.recv(self, *arguments))
                return super().recv(*arguments)

        monkeypatch.setattr(netlink.socket, "socket", Socket)
        libc = netlink._libc
        monkeypatch.setattr(netlink, "_libc", self)
        self.send, self.recv = (self._c(getattr(libc, name)) for name in ("send", "recv"))
        self._renew = lambda: monkeypatch.setattr(kept, "_shelf", kept.Shelf())

    def call(self, _, answer=lambda: None):
        if next(self.calls) == self.fails_at:
            if self.lost:
                answer()
            raise OSError(self.code, os.strerror(self.code))

    def _c(self, function):
        def call(*arguments):
            try:
                self.call(None, lambda: function(*arguments))
            except OSError as error:
                ctypes.set_errno(error.errno)
                return -1
            return function(*arguments)

        return call

    def arm(self, number, code, *, lost):
        self._renew()  # the work opens its sockets itself
        self.calls, self.fails_at, self.code, self.lost = count(1), number, code, lost


def happened(faults, pod, work, states, number, code, *, lost):
    """Check the effects of one fault; return whether that call was made at all."""
    faults.arm(0, 0, lost=False)
    run_inside(pod, lambda: applier.apply(OLD))
    faults.arm(number, code, lost=lost)
    try:
        run_inside(pod, work)
        error = None
    except ApplyError as caught:
        error = str(caught)
    made = next(faults.calls) > number
    faults.arm(0, 0, lost=False)
    found = run_inside(pod, applier.installed)
    fits = [state for state in states if (found is None) is (state is None) and (state is None or found.matches(state))]
    if not fits and error and NEW in states and run_inside(pod, lambda: is_in_force(NEW)):
        fits = [NEW]  # its leftovers are there until the next attempt
    assert len(fits) == 1, (number, code, lost, error)
    if error is None and len(states) == 2:
        assert fits == [states[1]], (number, code, lost)
    if error is not None:
        assert re.search(_REMEDIES, error), error
    return made


@pytest.mark.parametrize("name", WORK)
def test_no_failing_system_call_mixes_states(monkeypatch, name):
    """S60: the old or the new rules are in force, and the error names the remedy."""
    work, states = WORK[name]
    with private_namespace() as pod:
        run_inside(pod, lambda: applier.apply(OLD))
        faults, seen = Faults(monkeypatch), 0
        for code in ERRORS:
            for lost in (False, True):
                number = 1
                while happened(faults, pod, work, states, number, code, lost=lost):
                    number += 1
                seen += number - 1
        assert seen >= len(ERRORS)


def refuse_commit(monkeypatch, number, code):
    """Have the nth transaction from now on refused, as the kernel does that lacks something."""
    real, receive, commits, answers = socket.socket, nfnetlink.receive_now, count(1), []

    class Socket(real):
        def send(self, data, *arguments):
            if struct.unpack_from("=H", data, 4)[0] == BATCH_BEGIN and next(commits) == number:
                answers.append(struct.pack("=IHHIIi16x", 36, netlink.ERROR, 0, 2, 0, -code))  # struct nlmsgerr
                return len(data)
            return super().send(data, *arguments)

    monkeypatch.setattr(netlink.socket, "socket", Socket)
    monkeypatch.setattr(nfnetlink, "receive_now", lambda *socket: answers.pop() if answers else receive(*socket))
    monkeypatch.setattr(kept, "_shelf", kept.Shelf())
    return commits


@pytest.mark.parametrize("code", [errno.ENOMEM, errno.ENOBUFS, errno.ENFILE])
@pytest.mark.parametrize("number", [1, 2], ids=["replacement", "clean-up"])
def test_a_commit_refused_for_lack_of_something_never_deletes_the_table(monkeypatch, number, code):
    """S60: a table that goes and comes has a moment without hooks. Another handle is another table."""
    with private_namespace() as pod:
        run_inside(pod, lambda: applier.apply(OLD))
        table = run_inside(pod, lambda: nft.nft("-j", "list", "tables"))
        commits = refuse_commit(monkeypatch, number, code)
        with suppress(ApplyError):
            run_inside(pod, lambda: applier.apply(NEW))
        assert next(commits) == number + 1, "the refused one was the last"
        monkeypatch.undo()
        assert run_inside(pod, lambda: nft.nft("-j", "list", "tables")) == table
        run_inside(pod, lambda: applier.apply(NEW))
        assert run_inside(pod, applier.installed).matches(NEW)
        assert run_inside(pod, lambda: nft.nft("-j", "list", "tables")) == table
