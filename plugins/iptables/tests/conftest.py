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


# Both ways share the renderer and most of the applier; of legacy iptables `make test` has what differs: whose rules are
# found, replaced, kept and refused, and a life of several states with packets.
_BOTH_WAYS = frozenset(
    {
        "test_a_refused_ruleset_changes_nothing",
        "test_an_established_flow_outlasts_a_crowd_of_others",
        "test_installed_state_depends_on_the_last_apply_alone",
        "test_looking_changes_nothing",
        "test_packets_agree_after_a_change_of_membership",
        "test_packets_agree_through_a_life",
        "test_rules_in_force_outlive_a_killed_process",
        "test_rules_of_others_survive",
        "test_tampering_is_seen_and_repaired",
    }
)
_ONCE = "test_no_packet_passes_between_two_states"  # test_no_open_moment.py looks closer


@pytest.hookimpl(tryfirst=True)  # before pytest selects by marks
def pytest_collection_modifyitems(items):
    for item in (each for each in items if "plugins/iptables/tests/test_conformance.py::" in each.nodeid):
        legacy = "::TestLegacy::" in item.nodeid and item.originalname not in _BOTH_WAYS
        if legacy or (item.originalname == _ONCE and not item.name.endswith("[rules-Ingress]")):
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
