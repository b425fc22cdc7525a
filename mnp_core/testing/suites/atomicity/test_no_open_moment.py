"""S60: there is no moment, not a packet wide, in which a denied flow gets through or an allowed one is cut.

A thousand changes, of rules, of membership, of none at all (all rules written again), are made by an agent that is
killed with SIGKILL at random moments and started again, while another processor sends packets without a pause. A
change counts only if its commit into the kernel was watched from beginning to end: with a packet of every flow in each
100 µs, save where the sender had no processor while the agent had none either, and so changed nothing.
"""

import multiprocessing
import time
from contextlib import ExitStack
from importlib.metadata import entry_points
from pathlib import Path
from random import Random

import pytest

from mnp_core.api import Sandbox
from mnp_core.testing.netns import End, private_namespace
from mnp_core.testing.suites.atomicity import enforcer, traffic, write_log
from mnp_core.testing.suites.atomicity.enforcer import (
    ATTACKER,
    ATTACKER6,
    CLOSED_PORT,
    FRIEND,
    OPEN_PORT,
    VICTIM,
    VICTIM6,
)
from mnp_core.testing.suites.atomicity.sending import Sending
from mnp_core.testing.suites.atomicity.traffic import Flow
from mnp_core.testing.suites.atomicity.watch import Watch
from mnp_core.testing.suites.atomicity.write_log import Kind, Record
from mnp_core.testing.suites.atomicity.writer import Writer

pytestmark = pytest.mark.root

PLUGINS = sorted({entry.module for entry in entry_points(group="mnp")})
CHANGES = 1000
KILLS = 50
ROUND = 400  # changes
LIMIT = 420  # seconds, on a machine that has much else to do
_TRIES = 10  # a machine that has much else to do may let nobody look in the open moments of one


@pytest.fixture(scope="module")
def context():
    """Processes that start quickly: forked from one that has imported everything and has no threads."""
    made = multiprocessing.get_context("forkserver")
    made.set_forkserver_preload([enforcer.__name__, traffic.__name__, *PLUGINS])
    return made


@pytest.fixture
def people(mnp_wiring):
    """Three pods on one network: the victim, a friend, an attacker."""
    with ExitStack() as cleanup:
        network = End(cleanup.enter_context(private_namespace()), "parent")
        mnp_wiring.make_network(network)
        victim, friend, attacker = (mnp_wiring.make_pod(cleanup) for _ in range(3))
        mnp_wiring.plug(network, victim, "net1", (f"{VICTIM}/16", f"{VICTIM6}/64"))
        mnp_wiring.plug(network, friend, "net1", (f"{FRIEND}/16",))
        mnp_wiring.plug(network, attacker, "net1", (f"{ATTACKER}/16", f"{ATTACKER6}/64"))
        yield victim, friend, attacker


@pytest.fixture
def flows(people):
    victim, friend, attacker = (each.packets for each in people)
    return [
        Flow("in", attacker, ATTACKER, victim, VICTIM, CLOSED_PORT, allowed=False),
        Flow("in, IPv6", attacker, ATTACKER6, victim, VICTIM6, CLOSED_PORT, allowed=False),
        Flow("out", victim, VICTIM, attacker, ATTACKER, CLOSED_PORT, allowed=False),
        Flow("allowed in", friend, FRIEND, victim, VICTIM, OPEN_PORT, allowed=True),
        Flow("allowed out", victim, VICTIM, friend, FRIEND, OPEN_PORT, allowed=True),
    ]


@pytest.fixture
def enforcing(context, people, tmp_path, mnp_chance, mnp_backend):
    """Starts the agent's process for the victim."""
    return lambda main=enforcer.main: Enforcing(context, people[0].pod, tmp_path / "log", mnp_chance, mnp_backend, main)


@pytest.mark.full
@pytest.mark.timeout(LIMIT + 60)
def test_a_thousand_changes_let_no_denied_packet_through_and_cost_no_allowed_one(
    context, flows, enforcing, mnp_figures
):
    """S60"""
    watch = Watch(flows)
    until = time.monotonic() + LIMIT
    with enforcing() as agent:
        while watch.watched.total() < CHANGES or agent.kills < KILLS:
            assert time.monotonic() < until, f"this machine has no time for the test: {watch.summary(agent.kills)}"
            with Sending(context, flows, writer=agent.writer) as sending:
                agent.change_until(len(watch.begun) + ROUND)
            watch.add(sending.seen, agent.records())
            assert watch.wrong == {}
    mnp_figures += watch.summary(agent.kills)


def test_without_policies_every_packet_arrives(context, flows):
    """The proof that the other tests of this file can fail."""
    with Sending(context, flows) as sending:
        time.sleep(0.3)
    assert set(sending.seen.received.values()) == {sending.seen.rounds}


def test_an_agent_that_clears_before_it_writes_is_found_out(context, flows, enforcing):
    """The moment that S60 forbids is seen if it is there, by the same eyes."""
    denied = [flow.name for flow in flows if not flow.allowed]
    for _ in range(_TRIES):
        with enforcing(enforcer.careless_main) as agent, Sending(context, flows) as sending:
            agent.wait(40)
        if all(sending.seen.received[name] > 0 for name in denied):
            return
    pytest.fail(f"of {_TRIES} times 40 changes none was seen to be open for all of {denied}")


class Enforcing:
    """The agent's process, always one, killed and started again on demand."""

    def __init__(self, context, victim: Sandbox, log: Path, chance: Random, backend: str, main) -> None:
        self._context, self._victim, self._log, self._chance = context, victim, log, chance
        self._backend, self._main = backend, main
        self._log.touch()
        self.kills = 0
        self.writer = Writer(context)

    def __enter__(self):
        """Behind a bridge the first rules are those by name; traffic waits until discovery has seen the bridge."""
        self._start()
        while {record.kind for record in self.records()} == {Kind.START}:
            self._assert_alive()
            time.sleep(0.01)
        return self

    def __exit__(self, *_: object) -> None:
        self._kill()

    def change_until(self, changes: int) -> None:
        """Have the policies changed, by one process after the other, until so many changes were begun."""
        while write_log.count(self._log) < changes:
            time.sleep(self._chance.uniform(0.05, 0.8))
            self._kill()
            self.kills += 1
            self._start()

    def wait(self, changes: int) -> None:
        """Have the policies changed by one process."""
        while write_log.count(self._log) < changes:
            self._assert_alive()
            time.sleep(0.01)

    def records(self) -> list[Record]:
        return write_log.read(self._log)

    def _start(self) -> None:
        """Returns when it has written something."""
        arguments = (self._victim, self._log, self._chance.getrandbits(32), self._backend)
        self._process = self._context.Process(target=self._main, args=arguments, daemon=True)
        begun = write_log.count(self._log)
        self._process.start()
        self.writer.becomes(self._process.pid)
        while write_log.count(self._log) <= begun:
            self._assert_alive()
            time.sleep(0.002)

    def _kill(self) -> None:
        self._assert_alive()
        self.writer.becomes(0)
        self._process.kill()
        self._process.join()

    def _assert_alive(self) -> None:
        assert self._process.is_alive(), "the agent has ended by itself"
