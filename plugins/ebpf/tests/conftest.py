"""What runs at every `make test`: the rest of the standard tests with `make test-full`."""

from contextlib import ExitStack
from functools import cache

import pytest

from mnp_core.testing.hosts import EnforcedHost, Wire
from mnp_ebpf import EbpfApplier, EbpfRenderer
from mnp_ebpf.clsact import Clsact
from mnp_ebpf.tcx import Tcx

_ALWAYS = frozenset(
    {
        "test_every_process_writes_the_same",
        "test_fragments_may_come_in_any_order",
        "test_nothing_outlives_the_namespace",
        "test_replies_pass_where_the_other_direction_is_isolated",
        "test_tampering_is_seen_and_repaired",
    }
)


_ALWAYS_BY_FILTERS = ("test_reach.py", "test_packet_sockets.py", "test_clsact.py")
"""The rest is the program's own business, however it is attached."""

ATTACHERS = (Tcx(), Clsact())


@pytest.hookimpl(tryfirst=True)  # before pytest selects by marks
def pytest_collection_modifyitems(items):
    for item in (item for item in items if "plugins/ebpf/tests/" in item.nodeid):
        attacher = _attacher_of(item)
        if "test_conformance.py::" in item.nodeid:
            always = item.originalname in _ALWAYS
        else:
            always = not isinstance(attacher, Clsact) or item.path.name in _ALWAYS_BY_FILTERS
        if not always:
            item.add_marker(pytest.mark.full)
        if item.get_closest_marker("root") and (reason := _missing(attacher)):
            item.add_marker(pytest.mark.skip(reason=f"the backend ebpf cannot be used here so: {reason}"))


def _attacher_of(item):
    """The mechanism that a test is about; None: the kernel's choice."""
    named = getattr(item, "callspec", None) and item.callspec.params.get("attacher")
    return named or getattr(item.cls, "attacher", None)


@cache
def _missing(attacher):
    """What this kernel lacks."""
    support = EbpfApplier(attacher).probe()
    return "" if support.usable else support.detail


@pytest.fixture(scope="module", params=ATTACHERS, ids=lambda attacher: attacher.name)
def attacher(request):
    """Each mechanism by which interfaces hold programs."""
    return request.param


@pytest.fixture
def cleanup():
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def make_pod(attacher):
    """From a namespace to a pod that this backend enforces policy on."""
    return lambda sandbox, cleanup: EnforcedHost(sandbox, cleanup, EbpfRenderer(), EbpfApplier(attacher))


@pytest.fixture
def wire(cleanup, make_pod):
    """A pod and its neighbour."""
    return Wire(cleanup, make_pod)
