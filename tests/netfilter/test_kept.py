"""Sockets that stay open between conversations: whose they are, and for how long (S62, S63)."""

import errno
import os
import socket
import time

import pytest

from mnp_core.netfilter import kept
from mnp_core.netfilter.kept import Shelf, inside, kept_socket, socket_in
from mnp_core.netfilter.messages import GENERIC, GET_GENERATION, NFPROTO_INET
from mnp_core.netfilter.netlink import NETLINK_NETFILTER, packed
from mnp_core.sandbox.created import new_namespace
from mnp_core.sandbox.netns import run_inside
from mnp_core.testing.netns import private_namespace

pytestmark = pytest.mark.root
SOON = 0.05


@pytest.fixture
def pod():
    with private_namespace() as namespace:
        yield namespace


@pytest.fixture
def shelf(monkeypatch):
    """A shelf of the test's own, whose sockets are closed soon."""
    monkeypatch.setattr(kept, "_shelf", Shelf(SOON))
    return kept._shelf


def used():
    with kept_socket() as kernel:
        return kernel


def is_open(kernel):
    return kernel.fileno() >= 0


def await_closed(*kernels):
    end = time.monotonic() + 5
    while any(map(is_open, kernels)):
        assert time.monotonic() < end
        time.sleep(0.01)


def test_the_next_conversation_in_a_namespace_has_the_socket_of_the_last(pod, monkeypatch):
    monkeypatch.setattr(kept, "_shelf", Shelf(60))
    first = run_inside(pod, used)
    assert run_inside(pod, used) is first
    with private_namespace() as other:
        assert run_inside(other, used) is not first


@pytest.mark.usefixtures("shelf")
def test_two_at_once_have_one_each(pod):
    def work():
        with kept_socket() as one, kept_socket() as other:
            return one, other

    one, other = run_inside(pod, work)
    assert one is not other
    await_closed(one, other)


def test_a_socket_that_nobody_uses_is_closed_and_its_namespace_ends(pod, shelf):
    kernel = run_inside(pod, used)
    await_closed(kernel)
    assert not shelf._usable
    assert run_inside(pod, used) is not kernel


@pytest.mark.usefixtures("shelf")
def test_after_an_exception_a_socket_is_not_used_again(pod):
    def work():
        with pytest.raises(ValueError, match="wrong"), kept_socket() as kernel:
            raise ValueError("wrong")
        return kernel

    kernel = run_inside(pod, work)
    assert run_inside(pod, used) is not kernel
    await_closed(kernel)


def test_no_more_than_so_many_are_kept(pod, monkeypatch):
    monkeypatch.setattr(kept, "_shelf", Shelf(60))
    monkeypatch.setattr(kept, "_MOST", 2)

    def work():
        with kept_socket() as one, kept_socket() as two, kept_socket() as three:
            return one, two, three

    kernels = run_inside(pod, work)
    await_closed(kernels[-1])
    assert sum(map(is_open, kernels)) == 2


def test_sockets_in_a_namespace_of_a_deleted_pod_are_closed_at_once(pod, monkeypatch):
    """Else its devices would go on answering for a pod of the same address."""
    monkeypatch.setattr(kept, "_shelf", Shelf(60))
    with private_namespace() as other:
        gone, stays = run_inside(pod, used), run_inside(other, used)
        kept.leave((pod.device, pod.inode))
        await_closed(gone)
        assert is_open(stays)
        kept.close_sockets((other.device, other.inode))
        assert not is_open(stays)


def test_a_socket_that_is_kept_serves_threads_elsewhere_until_the_pod_is_left(pod, shelf):
    """S61: a change in its namespace takes no thread there."""
    place = pod.device, pod.inode
    with socket_in(place) as none:
        assert none is None
    kept.keep(place)
    kernel = run_inside(pod, used)
    time.sleep(4 * SOON)
    with socket_in(place) as found, socket_in(place) as second:
        assert (found, second) == (kernel, None)
    with socket_in(place) as again:
        assert again is kernel
    assert run_inside(pod, used) is kernel
    kept.leave(place)
    await_closed(kernel)
    assert not shelf._kept


@pytest.mark.usefixtures("shelf")
def test_a_kept_socket_is_replaced_after_an_exception(pod):
    place = pod.device, pod.inode
    kept.keep(place)
    kernel = run_inside(pod, used)
    with pytest.raises(ValueError, match="wrong"), socket_in(place):
        raise ValueError("wrong")
    with socket_in(place) as none:
        assert none is None
    other = run_inside(pod, used)
    with socket_in(place) as found:
        assert found is other is not kernel
    kept.close_sockets(place)


def test_a_namespace_that_this_process_made_ends_with_its_last_reference(monkeypatch):
    monkeypatch.setattr(kept, "_shelf", Shelf(60))
    with new_namespace() as namespace:
        kernel = run_inside(namespace.sandbox, used)
    assert not is_open(kernel)


@pytest.mark.usefixtures("shelf")
def test_a_thread_that_was_moved_by_hand_is_asked_where_it_is(pod):
    """Only `inside` states a namespace, and only for its own time."""

    def work():
        with inside((0, 0)):
            return used()

    assert run_inside(pod, work) is not run_inside(pod, used)


@pytest.mark.usefixtures("shelf")
def test_nobody_but_the_kernel_can_answer(pod):
    """A process in the pod that knows the port of a socket cannot forge an acknowledgement."""

    def work():
        with kept_socket() as kernel, socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER) as other:
            port, _ = kernel._socket.getsockname()
            forged = packed(GET_GENERATION, 0, GENERIC.pack(NFPROTO_INET, 0, 0), 1)
            with pytest.raises(OSError, match=os.strerror(errno.ECONNREFUSED)):
                other.sendto(forged, (port, 0))

    run_inside(pod, work)


def test_a_child_of_a_fork_has_sockets_of_its_own(pod):
    """Answers that wait in a shared one would be read by whoever comes first."""

    def forked():
        with kept_socket() as kernel:
            ours = os.fstat(kernel.fileno()).st_ino
        child = os.fork()
        if child == 0:
            with kept_socket() as kernel:
                os._exit(os.fstat(kernel.fileno()).st_ino == ours)
        with kept_socket() as kernel:
            assert os.fstat(kernel.fileno()).st_ino == ours
        return os.waitpid(child, 0)[1]

    assert run_inside(pod, forked) == 0
