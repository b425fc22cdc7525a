"""S62: an agent is killed, replaced, or comes back late: rules stay, and the next agent takes them over."""

import time
from contextlib import closing
from itertools import pairwise

import pytest

from mnp_core.testing.suites.atomicity.sending import Sending
from tests.cluster.agent import AgentProcess
from tests.cluster.churn import Churn
from tests.cluster.four_pods import app
from tests.cluster.manifests import NETWORKS, STATUS

KILLS = 50
UPGRADES = 4
BUSY = 6  # seconds of changes for two agents
PAUSE = 0.001  # seconds between two packets of a flow


@pytest.fixture(autouse=True)
def _enforced(four_pods):
    four_pods.apply(four_pods.main_policies()[0])


@pytest.mark.timeout(600)
def test_fifty_kills_at_random_moments_open_nothing_and_cut_nothing(four_pods, process, context, chance, figures):
    """S60, S62."""
    process.start_and_wait()
    process.kill()
    begun, before = time.monotonic(), four_pods.generation(four_pods.sandbox("victim"))
    ready = 0
    with Sending(context, four_pods.flows(), pause=PAUSE) as sending, Churn(four_pods, chance) as churn:
        for number in range(KILLS):
            process.start()
            if number % 2:
                process.wait_ready()
            time.sleep(chance.uniform(0, 0.7))
            ready += process.readiness() == "ok"
            process.kill()
    assert sending.wrong == {}
    writes = four_pods.generation(four_pods.sandbox("victim")) - before
    assert writes > KILLS, "an agent that writes nothing cannot go wrong"
    figures.append(
        f"kill -9: {KILLS} lives in {time.monotonic() - begun:.0f} s, {ready} of them got ready; {churn.changes} "
        f"changes, {writes} commits in the victim's pod; {sending}"
    )
    process.start_and_wait()
    assert_converged(four_pods)


@pytest.mark.parametrize("overlapping", [True, False], ids=["both run for a while", "one after the other"])
def test_an_upgrade_opens_nothing_and_cuts_nothing(four_pods, bed, tmp_path, context, chance, figures, overlapping):
    """S60, S62: the next agent's process is started, and the one before it stopped."""
    lives = [AgentProcess(bed, tmp_path / "agent.log") for _ in range(UPGRADES)]
    try:
        lives[0].start_and_wait()
        with Sending(context, four_pods.flows(), pause=PAUSE) as sending, Churn(four_pods, chance):
            for old, new in pairwise(lives):
                new.start()
                if overlapping:
                    new.wait_ready()
                    time.sleep(1)
                old.stop()
                new.wait_ready()
        assert sending.wrong == {}
        assert_converged(four_pods)
    finally:
        for life in lives:
            life.close()
    figures.append(f"upgrade, {'overlapping' if overlapping else 'stopped first'}: {UPGRADES - 1} times; {sending}")


def test_changes_during_a_pause_of_the_agent_are_applied_and_nothing_else_is_touched(four_pods, process):
    """S62."""
    with four_pods.passing("freed", "replaced", "detached"):
        process.start_and_wait()
        right = {name: four_pods.sandbox(name) for name in ("victim", "bystander")}
        assert four_pods.reaching("bystander") == {"friend"}
        process.kill()
        before = {name: four_pods.generation(at) for name, at in right.items()}
        counted = packets(four_pods, right["bystander"])
        assert sum(counted) > 0

        four_pods.remove("freed")
        old = four_pods.sandbox("replaced")
        four_pods.objects.delete("v1/Pod", "replaced", four_pods.namespace)
        four_pods.add_pods("replaced")
        detached = four_pods.sandbox("detached")
        gone = {"metadata": {"annotations": {NETWORKS: None, STATUS: None}}}  # enforced while requested (S64)
        four_pods.objects.patch("v1/Pod", "detached", gone, four_pods.namespace)
        assert four_pods.reaching("replaced") == {"friend", "attacker"}, "no agent is there to enforce policy on it"
        assert four_pods.counters(four_pods.sandbox("freed"))
        assert four_pods.installed(detached) is not None

        process.start_and_wait()
        assert four_pods.sandbox("replaced") != old
        assert four_pods.reaching("replaced") == {"friend"}
        assert four_pods.reaching("freed") == {"friend", "attacker"}
        assert not four_pods.counters(four_pods.sandbox("freed"))
        assert four_pods.installed(detached) is None
        assert {name: four_pods.generation(at) for name, at in right.items()} == before
        assert all(now >= then for now, then in zip(packets(four_pods, right["bystander"]), counted, strict=True))


def test_two_agents_on_one_node_come_to_rest(four_pods, bed, process, tmp_path, chance, figures):
    """By mistake, or in a long upgrade: neither repeats the other's writes."""
    victim = four_pods.sandbox("victim")
    with closing(AgentProcess(bed, tmp_path / "other.log")) as other:
        process.start_and_wait()
        other.start_and_wait()
        before = four_pods.generation(victim)
        with Churn(four_pods, chance) as churn:
            time.sleep(BUSY)
        time.sleep(2)
        settled = four_pods.generation(victim)
        cpu = [each.metric("process_cpu_seconds_total") for each in (process, other)]
        time.sleep(5)
        used = [each.metric("process_cpu_seconds_total") - c for each, c in zip((process, other), cpu, strict=True)]
        mended = [each.metric("mnp_drift_mended_total") for each in (process, other)]
        failed = [each.metric("mnp_apply_failures_total") for each in (process, other)]
        figures.append(
            f"two agents: {churn.changes} changes cost {settled - before} commits; {mended} times taken for drift, "
            f"{failed} failures; CPU of 5 s at rest: {used[0]:.2f} s and {used[1]:.2f} s"
        )
        assert four_pods.generation(victim) == settled
        assert failed == [0, 0], (process.said(), other.said())
        assert max(used) < 0.5
        assert settled - before <= 4 * churn.changes
        assert_converged(four_pods)


def packets(four_pods, sandbox):
    """The packet counters of all rules."""
    return [counter.packets for counter in four_pods.counters(sandbox)]


def assert_converged(four_pods):
    """The present policies are in force, and so is their next change."""
    four_pods.await_reaching("victim", {"friend"})
    four_pods.apply(four_pods.policy("main", [{"from": [app("attacker")]}], app("victim")))
    four_pods.await_reaching("victim", {"attacker"})
    four_pods.apply(four_pods.main_policies()[0])
    four_pods.await_reaching("victim", {"friend"})
