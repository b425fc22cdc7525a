"""Fault x promise x result, on the running program: `make test-faults` prints the table.

The promises are the same for all (S60 to S64): no packet passes that may not, sent all the time; the allowed flow is
whole; the rules become exactly those of a fresh agent, and go on following; the process keeps nothing.
"""

import time
from contextlib import ExitStack, contextmanager

import pytest
from attrs import define

from mnp_core.sandbox.netns import run_inside
from mnp_core.testing import nft
from tests.faults.apiserver import FaultyApiServer
from tests.faults.bed import Bed, Resources
from tests.faults.faults import FAULTS, Fault
from tests.faults.surroundings import LIBFAKETIME

pytestmark = pytest.mark.root


@define
class Row:
    """Measurements of one fault."""

    fault: str
    denied: int = 0
    leaked: int = 0
    lost: int = 0
    recovered: float = 0.0
    right: float = 0.0
    kept: str = ""
    told: str = ""
    broken: tuple = ()


class Beds:
    """A bed that is made anew after a row that failed."""

    def __init__(self, folders):
        self._folders, self._exits, self._bed = folders, ExitStack(), None

    def get(self):
        if self._bed is None:
            server = self._exits.enter_context(FaultyApiServer())
            self._bed = self._exits.enter_context(Bed(server, self._folders.mktemp("faults")))
        return self._bed

    def drop(self):
        self._bed = None
        self._exits.close()


@pytest.fixture(scope="module")
def beds(tmp_path_factory):
    found = Beds(tmp_path_factory)
    yield found
    found.drop()


@pytest.fixture(scope="module")
def table():
    rows = []
    yield rows
    heads = "denied: passed of", "allowed: lost, back in", "rules right in", "kept: fd, threads, MiB"
    print("\n{:44} {:>18} {:>23} {:>14}  {:>22}  result".format("fault", *heads))  # noqa: T201
    for row in rows:
        flows = f"{row.leaked:>9} of {row.denied:>5} {row.lost:>14}, {row.recovered:>4.1f} s {row.right:>12.2f} s"
        print(f"{row.fault:44} {flows}  {row.kept:>22}  {'; '.join(row.broken) or f'pass{row.told}'}")  # noqa: T201


def measure(bed, fault):
    """Inject a fault, with changes meanwhile, and measure its effects."""
    if fault.fresh:
        bed.kill()
    if not bed.running:
        bed.start()
    bed.change()  # so that the next one leaves something over
    bed.until(bed.right, "the rules are right before")
    bed.until(lambda: not bed.differences(), "nothing is left over before")
    before, table = bed.resources(), bed.table_handle()
    bed.took = None
    bed.traffic.begin()
    with fault.inject(bed):
        fault.change(bed)
        time.sleep(fault.lasts)
        said = bed.text()
    healed = time.monotonic()
    killed = not bed.running
    if killed:
        bed.start()
    bed.until(bed.right, "the rules are right again")
    row = Row(fault.name, right=bed.took if bed.took is not None else time.monotonic() - healed)
    bed.change()
    bed.until(bed.right, "the next change is in force")
    bed.until(lambda: not bed.differences(), "nothing is left over")
    seen = bed.traffic.end()
    row.denied, row.leaked, row.lost = seen.denied, sum(seen.leaked.values()), seen.lost
    row.recovered = max(0.0, seen.last_loss - healed) if seen.last_loss is not None else 0.0
    row.broken = tuple(broken(fault, row, said))
    if bed.table_handle() != table and not fault.replaces:
        row.broken += ("the table was deleted",)
    row.broken += tuple(kept(bed, before, None if killed else fault.memory))
    row.kept = kept_in_numbers(before, bed.resources())
    row.told = ", reported" if fault.told else ""
    return row


def broken(fault, row, said):
    """Promises about packets and reports that do not hold."""
    if row.leaked and not fault.opens:
        yield f"{row.leaked} denied packets passed"
    if row.lost and not fault.cuts:
        yield f"{row.lost} allowed packets were lost"
    yield from (f"not in the log: {text}" for text in fault.told if text not in said)


def kept(bed, before, memory):
    """The lasting growth of the process's resources."""
    end = time.monotonic() + 10
    while (found := list(more(before, bed.resources(), memory))) and time.monotonic() < end:
        time.sleep(0.1)
    return found


def kept_in_numbers(before, now):
    memory = now.memory - before.memory
    return f"{now.descriptors - before.descriptors:+d}, {now.threads - before.threads:+d}, {memory:+.0f}"


def more(before, now, memory):
    if now.descriptors > before.descriptors + 4:
        yield f"{now.descriptors - before.descriptors} more descriptors"
    if now.threads > before.threads + 40:  # 32 for sandboxes and 8 for locators are made when they are needed
        yield f"{now.threads - before.threads} more threads"
    if now.namespaces > before.namespaces:
        yield f"{now.namespaces - before.namespaces} more namespaces"
    if now.files > before.files:
        yield f"{now.files - before.files} more files"
    if memory is not None and now.memory > before.memory + memory:
        yield f"{now.memory - before.memory:.0f} MiB more"


def marked(fault):
    marks = [getattr(pytest.mark, fault.tier)] if fault.tier else []
    return pytest.param(fault, marks=[*marks, pytest.mark.timeout(900 if fault.tier == "long" else 300)], id=str(fault))


@pytest.mark.parametrize("fault", [*map(marked, FAULTS)])
def test_a_fault_breaks_no_promise(beds, table, fault):
    """S60, S61, S62, S63, S64."""
    if fault.name.startswith("clock") and LIBFAKETIME is None:
        pytest.skip("needs libfaketime, the Debian package of that name")
    table.append(Row(fault.name, broken=("did not come to its end",)))
    try:
        table[-1] = measure(beds.get(), fault)
        assert table[-1].broken == ()
    except BaseException:
        beds.drop()
        raise


@contextmanager
def opened(bed):
    """By a process in the pod: the agent closes it again."""
    run_inside(bed.sandboxes["web"], lambda: nft.load("delete table inet mnp"))
    yield


def test_the_table_shows_an_open_pod(beds):
    found = measure(beds.get(), Fault(name="opened", inject=opened))
    assert found.leaked
    assert found.broken == (f"{found.leaked} denied packets passed", "the table was deleted")


def test_the_table_shows_every_leak():
    before, now = Resources(10, 10, 50.0, 1, 0), Resources(15, 51, 61.0, 2, 1)
    assert list(more(before, before, 10)) == []
    assert [each.split(maxsplit=1)[1] for each in more(before, now, 10)] == [
        "more descriptors",
        "more threads",
        "more namespaces",
        "more files",
        "MiB more",
    ]
