"""S60, S62: the DaemonSet is rolled while packets flow."""

import time

import pytest

from mnp_core.testing.suites.atomicity.sending import Sending
from tests.cluster.churn import Churn

ROLLS = 2
PAUSE = 0.001  # seconds between two packets of a flow


@pytest.fixture
def daemon_set(node_agent, four_pods):
    """The agent runs as deploy/ has it."""
    four_pods.apply(four_pods.main_policies()[0])
    try:
        node_agent.deploy()
        yield node_agent
    finally:
        node_agent.remove()


@pytest.mark.timeout(400)
def test_a_rolling_update_opens_nothing_and_cuts_nothing(daemon_set, four_pods, context, chance, figures):
    """S60, S62."""
    pods = names(daemon_set)
    with Sending(context, four_pods.flows(), pause=PAUSE) as sending, Churn(four_pods, chance) as churn:
        time.sleep(1)
        for number in range(ROLLS):
            daemon_set.roll(f"{number}")
            pods |= names(daemon_set)
            time.sleep(1)
    assert sending.wrong == {}
    assert len(pods) == ROLLS + 1
    four_pods.await_reaching("victim", {"friend"})
    figures.append(f"DaemonSet rolled {ROLLS} times during {churn.changes} changes: {sending}")


def names(daemon_set):
    """Of its pods."""
    return {pod["metadata"]["name"] for pod in daemon_set.pods()}
