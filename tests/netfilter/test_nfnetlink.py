"""The netfilter socket against the kernel: reading, limits, transactions (S60, S62)."""

import os
import subprocess
import sys

import pytest

from mnp_core.errors import ApplyError
from mnp_core.netfilter import netlink, uapi
from mnp_core.netfilter.attributes import number, text, text_attribute
from mnp_core.netfilter.batch import BatchWriter
from mnp_core.netfilter.messages import CREATE, DELETE_TABLE, GET_TABLE, NEW_CHAIN, NEW_TABLE
from mnp_core.netfilter.netlink import NETLINK_ROUTE, Netlink, OversizeError
from mnp_core.netfilter.nf_tables import dump_chains, generation, read_settled, read_table
from mnp_core.netfilter.nfnetlink import Nfnetlink, RefusedError, SupersededError, UnsettledError, dump_settled
from mnp_core.netfilter.remedies import describe
from mnp_core.sandbox.netns import run_inside
from mnp_core.testing.netns import private_namespace

pytestmark = pytest.mark.root


@pytest.fixture
def pod():
    with private_namespace() as namespace:
        yield namespace


def table(name, *chains, kind=NEW_TABLE, family=2):
    writer = BatchWriter()
    writer.add(kind, CREATE if kind == NEW_TABLE else 0, text_attribute(1, name), family=family)
    for chain in chains:
        writer.add(NEW_CHAIN, CREATE, text_attribute(1, name), text_attribute(3, chain), family=family)
    return writer.batch()


def commit(batch, number=None):
    with Nfnetlink() as kernel:
        kernel.commit(batch, number)


def chains(kernel, name):
    return [text(each[uapi.NFTA_CHAIN_NAME]) for each in dump_chains(kernel, name, family=2)]


def test_objects_of_one_table_are_read_although_the_kernel_lists_all(pod):
    def work():
        commit(table("other", "theirs"))
        commit(table("mnp", "a", "b"))
        return read_settled(lambda kernel, _: (chains(kernel, "mnp"), read_table(kernel, "none", family=2)))

    assert run_inside(pod, work) == (["a", "b"], None)


def test_a_refused_transaction_changes_nothing_and_names_the_object(pod):
    """S60."""

    def work():
        before = generation()
        with pytest.raises(RefusedError, match="removal of table none: No such file"):
            commit(table("none", kind=DELETE_TABLE))
        return generation() - before

    assert run_inside(pod, work) == 0


def test_a_transaction_for_another_generation_is_superseded(pod):
    def work():
        number = generation()
        commit(table("other"), number)
        with pytest.raises(SupersededError):
            commit(table("mnp"), number)
        return read_settled(lambda kernel, _: read_table(kernel, "mnp", family=2))

    assert run_inside(pod, work) is None


def test_a_transaction_larger_than_the_buffer_of_a_socket(pod):
    names = [f"chain-{count:04}" for count in range(3000)]
    run_inside(pod, lambda: commit(table("mnp", *names)))
    assert len(run_inside(pod, lambda: read_settled(lambda kernel, _: chains(kernel, "mnp")))) == len(names)


def test_more_than_the_limit_is_an_error_with_a_remedy(pod, monkeypatch):
    """S62: a process in the pod decides how much there is."""
    run_inside(pod, lambda: commit(table("mnp", *(f"chain-{count}" for count in range(500)))))
    monkeypatch.setattr(netlink, "MOST_BYTES", 1 << 12)
    for read in (
        lambda: read_settled(lambda kernel, _: chains(kernel, "mnp")),
        lambda: dump_settled(GET_TABLE + 3, text_attribute(1, "mnp"), family=2),
    ):
        with pytest.raises(OversizeError, match="or restart the pod"):
            run_inside(pod, read)


def test_objects_that_change_all_the_time_are_an_error_with_a_remedy(pod):
    def read(kernel, number):
        commit(table(f"other{number}"))
        return list(dump_chains(kernel, "mnp"))

    with pytest.raises(UnsettledError, match="stop it, or restart the pod"):
        run_inside(pod, lambda: read_settled(read))


def test_the_rest_of_a_dump_that_was_given_up_is_no_answer(pod):
    def work():
        commit(table("mnp", "a", "b"))
        with Nfnetlink() as kernel:
            next(dump_chains(kernel, "mnp", family=2))
            return read_table(kernel, "mnp", family=2)

    assert run_inside(pod, work) is not None


def test_interfaces_are_listed_over_a_route_socket(pod):
    def work():
        with Netlink(NETLINK_ROUTE) as kernel:
            return len(list(kernel.dump_bodies(18, bytes(16))))

    assert run_inside(pod, work) >= 1


def test_without_permission_the_error_has_its_remedy():
    program = (
        "import ctypes, os; from mnp_core.netfilter import nf_tables, remedies; os.setuid(65534)\n"
        "try: nf_tables.generation()\n"
        "except OSError as error: print(remedies.describe(error))"
    )
    python = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert python.stdout.startswith("Operation not permitted: run as root with CAP_NET_ADMIN")


def test_an_error_without_a_remedy_of_its_own_takes_another():
    assert describe(OSError(5, os.strerror(5)), "try again") == "Input/output error: try again"
    assert describe(OSError(5, os.strerror(5))) == "Input/output error"
    assert issubclass(OversizeError, ApplyError)
    assert number(1, -1)[4:] == b"\xff" * 4
