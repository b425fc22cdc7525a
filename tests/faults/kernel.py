"""The kernel refuses, lacks something, or takes namespaces and interfaces away."""

import os
import socket
from contextlib import contextmanager
from errno import ENOMEM
from functools import partial

from pyroute2 import IPRoute

from mnp_core.sandbox.created import new_namespace
from mnp_core.sandbox.netns import run_inside
from mnp_core.testing.netns import End, private_namespace, veth_pair
from tests.faults import cluster


def ordered(**order):
    """A fault inside of the process."""
    return lambda bed: bed.order(**order)


@contextmanager
def without_nf_tables(bed):
    """At a start: it ends with the remedy, and the rules stay."""
    bed.kill()
    with bed.order(do="refuse"):
        bed.start(ready=False)
        bed.await_death(2)
        assert "nf_tables" in bed.text(), bed.text()
        yield


@contextmanager
def starts_without_counters(bed):
    """At a start: nothing is written, the rules in force stay."""
    bed.kill()
    bed.change()
    with bed.order(do="spoil", old="counter", new="cuonter"):
        bed.start(ready=False)
        bed.until(lambda: bed.fired, "a commit was refused")
        yield


@contextmanager
def clean_up_refused(bed):
    """At a start, as a change of policy alone is written as a difference: for lack of memory."""
    bed.kill()
    yield
    with bed.order(do="answer", code=ENOMEM, number=2):
        bed.start(ready=False)
        bed.until(lambda: bed.fired, "the clean-up was refused")


@contextmanager
def namespace_deleted(bed):
    """The namespace of a pod goes in the middle of a commit, then the pod; nothing keeps the namespace."""
    with private_namespace() as outside, new_namespace() as doomed:
        veth_pair(End(outside, "peer"), End(doomed.sandbox, "net1"))
        bed.add_pod(cluster.ready_pod("doomed", 4000), doomed.sandbox)
        bed.until(bed.right, "the pod has its rules")
        with bed.order(do="pause"):
            bed.server.put(cluster.POLICIES, cluster.closed("doomed"))
            bed.until(lambda: bed.fired, "a commit waits")
            bed.forget("doomed")
            doomed.close()
            yield
            bed.go()
        bed.server.delete("pods", "doomed", cluster.NAMESPACE)
        bed.server.delete(cluster.POLICIES, "doomed-closed", cluster.NAMESPACE)
        bed.until(lambda: "peer" not in _links(outside), "the namespace has gone")


@contextmanager
def interface_renamed(bed):
    """By a process in the pod. Rules are by name, so this opens it, which is reported."""
    _rename(bed, "net1", "mine")
    try:
        yield
        bed.until(lambda: "reason=Unenforceable" in bed.text(), "it is reported")
    finally:
        _rename(bed, "mine", "net1")


@contextmanager
def interface_recreated(bed):
    """It goes and comes back, as when a CNI plugin makes it anew."""
    web = bed.sandboxes["web"]
    with private_namespace() as elsewhere:
        _move(web, elsewhere)
        yield
        _move(elsewhere, web)
        run_inside(web, partial(_configure, bed.addresses("web")))


def _rename(bed, old, new):
    addresses = bed.addresses("web")

    def work():
        with IPRoute() as kernel:
            (index,) = kernel.link_lookup(ifname=old)
            kernel.link("set", index=index, state="down")
            kernel.link("set", index=index, ifname=new)
            kernel.link("set", index=index, state="up")
        _configure(addresses[1:], new)  # IPv6 addresses go when an interface is down

    run_inside(bed.sandboxes["web"], work)


def _move(source, target):
    def work():
        descriptor = os.open(target.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            with IPRoute() as kernel:
                kernel.link("set", index=kernel.link_lookup(ifname="net1")[0], net_ns_fd=descriptor)
        finally:
            os.close(descriptor)

    run_inside(source, work)


def _configure(addresses, name="net1"):
    with IPRoute() as kernel:
        (index,) = kernel.link_lookup(ifname=name)
        kernel.link("set", index=index, state="up")
        for address in addresses:
            kernel.addr("replace", index=index, address=address, prefixlen=64 if ":" in address else 16)


def _links(sandbox):
    return run_inside(sandbox, lambda: [name for _, name in socket.if_nameindex()])
