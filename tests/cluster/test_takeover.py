"""S62: an agent is killed, replaced, or comes back late: rules stay, and whoever comes takes over what it finds."""

import time
from contextlib import closing
from itertools import pairwise

import pytest

from mnp_core.testing.suites.atomicity.sending import Sending
from tests.cluster.agent import AgentProcess
from tests.cluster.manifests import NETWORKS, STATUS
from tests.cluster.standoff import app
from tests.cluster.unrest import Unrest

KILLS = 50
UPGRADES = 4
BUSY = 6  # seconds of changes for two agents
PAUSE = 0.001  # seconds between two packets of a flow


@pytest.fixture(autouse=True)
def _policed(standoff):
    standoff.apply(standoff.main_policies()[0])


@pytest.mark.timeout(600)
def test_fifty_kills_at_random_moments_open_nothing_and_cut_nothing(standoff, process, context, chance, figures):
    """S60, S62."""
    process.start_and_wait()
    process.kill()
    begun, before = time.monotonic(), standoff.generation(standoff.sandbox("victim"))
    ready = 0
    with Sending(context, standoff.flows(), pause=PAUSE) as sending, Unrest(standoff, chance) as unrest:
        for number in range(KILLS):
            process.start()
            if number % 2:
                process.wait_ready()
            time.sleep(chance.uniform(0, 0.7))
            ready += process.readiness() == "ok"
            process.kill()
    assert sending.wrong == {}
    writes = standoff.generation(standoff.sandbox("victim")) - before
    assert writes > KILLS, "an agent that writes nothing cannot go wrong"
    figures.append(
        f"kill -9: {KILLS} lives in {time.monotonic() - begun:.0f} s, {ready} of them got ready; {unrest.changes} "
        f"changes, {writes} commits in the victim's pod; {sending}"
    )
    process.start_and_wait()
    assert_converged(standoff)


@pytest.mark.parametrize("overlapping", [True, False], ids=["both run for a while", "one after the other"])
def test_an_upgrade_opens_nothing_and_cuts_nothing(standoff, bed, tmp_path, context, chance, figures, overlapping):
    """S60, S62: the next agent's process is started, and the one before it stopped."""
    lives = [AgentProcess(bed, tmp_path / "agent.log") for _ in range(UPGRADES)]
    try:
        lives[0].start_and_wait()
        with Sending(context, standoff.flows(), pause=PAUSE) as sending, Unrest(standoff, chance):
            for old, new in pairwise(lives):
                new.start()
                if overlapping:
                    new.wait_ready()
                    time.sleep(1)
                old.stop()
                new.wait_ready()
        assert sending.wrong == {}
        assert_converged(standoff)
    finally:
        for life in lives:
            life.close()
    figures.append(f"upgrade, {'overlapping' if overlapping else 'stopped first'}: {UPGRADES - 1} times; {sending}")


def test_what_happened_while_the_agent_was_down_is_made_up_for_and_nothing_else_is_touched(standoff, process):
    """S62."""
    with standoff.passing("freed", "replaced", "detached"):
        process.start_and_wait()
        right = {name: standoff.sandbox(name) for name in ("victim", "bystander")}
        assert standoff.reaching("bystander") == {"friend"}
        process.kill()
        before = {name: standoff.generation(at) for name, at in right.items()}
        counted = packets(standoff, right["bystander"])
        assert sum(counted) > 0

        standoff.remove("freed")
        old = standoff.sandbox("replaced")
        standoff.objects.delete("v1/Pod", "replaced", standoff.namespace)
        standoff.add_pods("replaced")
        detached = standoff.sandbox("detached")
        gone = {"metadata": {"annotations": {NETWORKS: None, STATUS: None}}}  # what is asked for stays enforced (S64)
        standoff.objects.patch("v1/Pod", "detached", gone, standoff.namespace)
        assert standoff.reaching("replaced") == {"friend", "attacker"}, "nobody is there to police it"
        assert standoff.counters(standoff.sandbox("freed"))
        assert standoff.installed(detached) is not None

        process.start_and_wait()
        assert standoff.sandbox("replaced") != old
        assert standoff.reaching("replaced") == {"friend"}
        assert standoff.reaching("freed") == {"friend", "attacker"}
        assert not standoff.counters(standoff.sandbox("freed"))
        assert standoff.installed(detached) is None
        assert {name: standoff.generation(at) for name, at in right.items()} == before
        assert all(now >= then for now, then in zip(packets(standoff, right["bystander"]), counted, strict=True))


def test_two_agents_on_one_node_come_to_rest(standoff, bed, process, tmp_path, chance, figures):
    """A mistake, or an upgrade that takes long: what the one writes is no reason for the other to write it again."""
    victim = standoff.sandbox("victim")
    with closing(AgentProcess(bed, tmp_path / "other.log")) as other:
        process.start_and_wait()
        other.start_and_wait()
        before = standoff.generation(victim)
        with Unrest(standoff, chance) as unrest:
            time.sleep(BUSY)
        time.sleep(2)
        settled = standoff.generation(victim)
        cpu = [each.metric("process_cpu_seconds_total") for each in (process, other)]
        time.sleep(5)
        used = [each.metric("process_cpu_seconds_total") - c for each, c in zip((process, other), cpu, strict=True)]
        mended = [each.metric("mnp_drift_mended_total") for each in (process, other)]
        failed = [each.metric("mnp_apply_failures_total") for each in (process, other)]
        figures.append(
            f"two agents: {unrest.changes} changes cost {settled - before} commits; {mended} times taken for drift, "
            f"{failed} failures; CPU of 5 s at rest: {used[0]:.2f} s and {used[1]:.2f} s"
        )
        assert standoff.generation(victim) == settled
        assert failed == [0, 0], (process.said(), other.said())
        assert max(used) < 0.5
        assert settled - before <= 4 * unrest.changes
        assert_converged(standoff)


def packets(standoff, sandbox):
    """What each rule has counted."""
    return [counter.packets for counter in standoff.counters(sandbox)]


def assert_converged(standoff):
    """What policies say now is in force, and so is what they say next."""
    standoff.await_reaching("victim", {"friend"})
    standoff.apply(standoff.policy("main", [{"from": [app("attacker")]}], app("victim")))
    standoff.await_reaching("victim", {"attacker"})
    standoff.apply(standoff.main_policies()[0])
    standoff.await_reaching("victim", {"friend"})
