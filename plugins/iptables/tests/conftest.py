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
