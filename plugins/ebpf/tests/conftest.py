"""What runs at every `make test`: the rest of the standard tests with `make test-full`."""

from contextlib import ExitStack

import pytest

from mnp_core.testing.hosts import EnforcedHost, Wire
from mnp_ebpf import EbpfApplier, EbpfRenderer

_ALWAYS = frozenset(
    {
        "test_every_process_writes_the_same",
        "test_fragments_may_come_in_any_order",
        "test_nothing_outlives_the_namespace",
        "test_replies_pass_where_the_other_direction_is_isolated",
        "test_tampering_is_seen_and_repaired",
    }
)


@pytest.hookimpl(tryfirst=True)  # before pytest selects by marks
def pytest_collection_modifyitems(items):
    ours = [item for item in items if "plugins/ebpf/tests/" in item.nodeid]
    for item in ours:
        if "test_conformance.py::" in item.nodeid and item.originalname not in _ALWAYS:
            item.add_marker(pytest.mark.full)
    support = EbpfApplier().probe()
    if not support.usable:
        for item in ours:
            if item.get_closest_marker("root"):
                item.add_marker(pytest.mark.skip(reason=f"the backend ebpf cannot be used here: {support.detail}"))


@pytest.fixture
def cleanup():
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def make_pod():
    """From a namespace to a pod that this backend enforces policy on."""
    return lambda sandbox, cleanup: EnforcedHost(sandbox, cleanup, EbpfRenderer(), EbpfApplier())


@pytest.fixture
def wire(cleanup, make_pod):
    """A pod and its neighbour."""
    return Wire(cleanup, make_pod)
