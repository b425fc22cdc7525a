"""Pods with links to somewhere."""

from contextlib import ExitStack

import pytest

from mnp_core.netfilter.kept import keep
from mnp_core.testing.netns import private_namespace
from plugins.nftables.tests.wire import EnforcedHost, Router, Wire


@pytest.fixture
def cleanup():
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def wire(cleanup):
    """A pod and its neighbour."""
    return Wire(cleanup)


@pytest.fixture
def pod(cleanup):
    """A pod that has no links: enough to load rules."""
    namespace = cleanup.enter_context(private_namespace())
    keep((namespace.device, namespace.inode))
    return EnforcedHost(namespace, cleanup)


@pytest.fixture
def router(cleanup):
    """A pod that forwards between ``net1``, where `left` is, and ``net2``, where `right` is."""
    made = Router(cleanup)
    return made.pod, made.left, made.right
