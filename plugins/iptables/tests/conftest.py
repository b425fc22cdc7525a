"""Pods with links to somewhere, once for each way into the kernel."""

from contextlib import ExitStack

import pytest

from mnp_core.testing.hosts import Wire
from mnp_core.testing.netns import private_namespace
from plugins.iptables.tests.pods import Pod


# Both ways speak one language, and the kit's standard tests try both (test_conformance.py).
@pytest.fixture(params=["nft", pytest.param("legacy", marks=pytest.mark.full)])
def way(request):
    return request.param


# Packet verdicts depend on the renderer, which both ways share; a life of several states remains for each.
_ONE_WAY = frozenset(
    {
        "test_packets_agree",
        "test_recheck_understands_every_way_to_allow",
        "test_copies_of_a_pod_share_a_ruleset",
        "test_order_does_not_matter",
        "test_the_digest_stands_in_the_text",
    }
)


@pytest.hookimpl(tryfirst=True)  # before pytest selects by marks
def pytest_collection_modifyitems(items):
    for item in items:
        if "test_conformance.py::TestLegacy::" in item.nodeid and item.originalname in _ONE_WAY:
            item.add_marker(pytest.mark.full)


@pytest.fixture
def cleanup():
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def wire(cleanup, way):
    """A pod and its neighbour."""
    return Wire(cleanup, lambda sandbox, cleanup: Pod(sandbox, cleanup, way))


@pytest.fixture
def pod(cleanup, way):
    """A pod that has no links: enough to load rules."""
    return Pod(cleanup.enter_context(private_namespace()), cleanup, way)
