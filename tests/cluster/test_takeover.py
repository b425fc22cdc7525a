"""S62: an agent is killed, replaced, or comes back late: rules stay, and whoever comes takes over what it finds."""

import time
from contextlib import closing
from itertools import pairwise

import pytest

from tests.cluster.agent import AgentProcess
from tests.cluster.manifests import STATUS
from tests.cluster.scene import app
from tests.cluster.unrest import Unrest
from tests.noopen.sending import Sending

KILLS = 50
UPGRADES = 4
PAUSE = 0.001  # seconds between two packets of a flow


@pytest.fixture(autouse=True)
def _policed(scene):
    scene.apply(scene.main_policies()[0])


@pytest.mark.timeout(600)
def test_fifty_kills_at_random_moments_open_nothing_and_cut_nothing(scene, agent, context, chance, figures):
    """S60, S62."""
    agent.start_and_wait()
    agent.kill()
    begun, before = time.monotonic(), scene.generation(scene.sandbox("victim"))
    ready = 0
    with Sending(context, scene.flows(), pause=PAUSE) as sending, Unrest(scene, chance) as unrest:
        for number in range(KILLS):
            agent.start()
            if number % 2:
                agent.wait_ready()
            time.sleep(chance.uniform(0, 1))
            ready += agent.readiness() == "ok"
            agent.kill()
    assert sending.wrong == {}
    writes = scene.generation(scene.sandbox("victim")) - before
    assert writes > KILLS, "an agent that writes nothing cannot go wrong"
    figures.append(
        f"kill -9: {KILLS} lives in {time.monotonic() - begun:.0f} s, {ready} of them got ready; {unrest.changes} "
        f"changes, {writes} commits in the victim's pod; {sending}"
    )
    agent.start_and_wait()
    assert_converged(scene)


@pytest.mark.parametrize("overlapping", [True, False], ids=["both run for a while", "one after the other"])
def test_an_upgrade_opens_nothing_and_cuts_nothing(scene, bed, tmp_path, context, chance, figures, overlapping):
    """S60, S62: the next agent's process is started, and the one before it stopped."""
    lives = [AgentProcess(bed, tmp_path / "agent.log") for _ in range(UPGRADES)]
    try:
        lives[0].start_and_wait()
        with Sending(context, scene.flows(), pause=PAUSE) as sending, Unrest(scene, chance):
            for old, new in pairwise(lives):
                new.start()
                if overlapping:
                    new.wait_ready()
                    time.sleep(1)
                old.stop()
                new.wait_ready()
        assert sending.wrong == {}
        assert_converged(scene)
    finally:
        for life in lives:
            life.close()
    figures.append(f"upgrade, {'overlapping' if overlapping else 'stopped first'}: {UPGRADES - 1} times; {sending}")


def test_what_happened_while_the_agent_was_down_is_made_up_for_and_nothing_else_is_touched(scene, agent):
    """S62."""
    with scene.passing("freed", "replaced", "detached"):
        agent.start_and_wait()
        right = {name: scene.sandbox(name) for name in ("victim", "bystander")}
        assert scene.reaching("bystander") == {"friend"}
        agent.kill()
        before = {name: scene.generation(at) for name, at in right.items()}
        counted = packets(scene, right["bystander"])
        assert sum(counted) > 0

        scene.remove("freed")
        old = scene.sandbox("replaced")
        scene.objects.delete("v1/Pod", "replaced", scene.namespace)
        scene.add_pods("replaced")
        detached = scene.sandbox("detached")
        scene.objects.patch("v1/Pod", "detached", {"metadata": {"annotations": {STATUS: None}}}, scene.namespace)
        assert scene.reaching("replaced") == {"friend", "attacker"}, "nobody is there to police it"
        assert scene.counters(scene.sandbox("freed"))
        assert scene.installed(detached) is not None

        agent.start_and_wait()
        assert scene.sandbox("replaced") != old
        assert scene.reaching("replaced") == {"friend"}
        assert scene.reaching("freed") == {"friend", "attacker"}
        assert not scene.counters(scene.sandbox("freed"))
        assert scene.installed(detached) is None
        assert {name: scene.generation(at) for name, at in right.items()} == before
        assert all(now >= then for now, then in zip(packets(scene, right["bystander"]), counted, strict=True))


def test_two_agents_on_one_node_come_to_rest(scene, bed, agent, tmp_path, figures):
    """A mistake, or an upgrade that takes long: what the one writes is no reason for the other to write it again."""
    victim = scene.sandbox("victim")
    with closing(AgentProcess(bed, tmp_path / "other.log")) as other:
        agent.start_and_wait()
        other.start_and_wait()
        before = scene.generation(victim)
        changes = [*scene.main_policies()[1:], scene.main_policies()[0]] * 4
        for manifest in changes:
            scene.apply(manifest)
            time.sleep(0.3)
        time.sleep(1)
        settled = scene.generation(victim)
        cpu = [each.metric("process_cpu_seconds_total") for each in (agent, other)]
        time.sleep(5)
        used = [each.metric("process_cpu_seconds_total") - c for each, c in zip((agent, other), cpu, strict=True)]
        mended = [each.metric("mnp_drift_mended_total") for each in (agent, other)]
        figures.append(
            f"two agents: {len(changes)} changes cost {settled - before} commits, {mended} times taken for drift; "
            f"CPU of 5 s at rest: {used[0]:.2f} s and {used[1]:.2f} s"
        )
        assert scene.generation(victim) == settled
        assert max(used) < 0.5
        assert settled - before <= 6 * len(changes)
        assert_converged(scene)


def packets(scene, sandbox):
    """What each rule has counted."""
    return [counter.packets for counter in scene.counters(sandbox)]


def assert_converged(scene):
    """What policies say now is in force, and so is what they say next."""
    scene.await_reaching("victim", {"friend"})
    scene.apply(scene.policy("main", [{"from": [app("attacker")]}], app("victim")))
    scene.await_reaching("victim", {"attacker"})
    scene.apply(scene.main_policies()[0])
    scene.await_reaching("victim", {"friend"})
