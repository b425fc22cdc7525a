"""S60, S62: the DaemonSet is rolled while packets flow."""

import time

import pytest

from mnp_core.testing.suites.atomicity.sending import Sending
from tests.cluster.unrest import Unrest

ROLLS = 2
PAUSE = 0.001  # seconds between two packets of a flow


@pytest.fixture
def daemon_set(node_agent, standoff):
    """The agent runs as deploy/ has it."""
    standoff.apply(standoff.main_policies()[0])
    try:
        node_agent.deploy()
        yield node_agent
    finally:
        node_agent.remove()


@pytest.mark.timeout(400)
def test_a_rolling_update_opens_nothing_and_cuts_nothing(daemon_set, standoff, context, chance, figures):
    """S60, S62."""
    pods = names(daemon_set)
    with Sending(context, standoff.flows(), pause=PAUSE) as sending, Unrest(standoff, chance) as unrest:
        time.sleep(1)
        for number in range(ROLLS):
            daemon_set.roll(f"{number}")
            pods |= names(daemon_set)
            time.sleep(1)
    assert sending.wrong == {}
    assert len(pods) == ROLLS + 1
    standoff.await_reaching("victim", {"friend"})
    figures.append(f"DaemonSet rolled {ROLLS} times during {unrest.changes} changes: {sending}")


def names(daemon_set):
    """Of its pods."""
    return {pod["metadata"]["name"] for pod in daemon_set.pods()}
