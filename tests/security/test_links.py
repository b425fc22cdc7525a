"""A process with CAP_NET_ADMIN makes interfaces and addresses without end in its own pod (S6, S64)."""

import os
import random
import signal
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from pyroute2 import IPRoute

from mnp_core.model import ObjectName
from mnp_nftables import NftablesApplier
from tests.node.conftest import node  # noqa: F401 - the fixture
from tests.node.program import SOON, WEB

pytestmark = pytest.mark.root
applier = NftablesApplier()
CLIENT = ObjectName("demo", "client")
PAIRS, ADDRESSES, ROUNDS, LONG_ROUNDS = 750, 2000, 400, 4000
ON_TIME = 5.0  # seconds on a machine that does other things too; some 0.02 where nothing else runs
HARMLESS = "abcXYZ0123456789"
ODD = HARMLESS + "\"'$;{}()[]<>|&#*?+=,~^\x1b\x07é€"


def resident(pid):
    """Kilobytes."""
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.partition("VmRSS:")[2].split()[0])


def in_bulk(lines):
    subprocess.run(["ip", "-force", "-batch", "-"], input="\n".join(lines), text=True, capture_output=True, check=False)


def crowd():
    """Interfaces that are up and lead nowhere, and addresses."""
    in_bulk(f"link add v{number} type veth peer name w{number}" for number in range(PAIRS))
    in_bulk(f"link set v{number} up" for number in range(PAIRS))
    in_bulk(f"addr add 10.99.{number // 250}.{number % 250 + 1}/32 dev v0" for number in range(ADDRESSES))


def storm(seed):
    """Names, flags and kinds at random."""
    chance = random.Random(seed)  # noqa: S311 - no secret

    def name():
        return "".join(chance.choice(ODD) for _ in range(chance.randrange(1, 12)))

    with IPRoute() as kernel:
        for _ in range(ROUNDS):
            change = {"ifname": name()} if chance.random() < 0.5 else {"state": chance.choice(["up", "down"])}
            try:
                kernel.link("set", index=chance.randrange(5, 2 * PAIRS), **change)
                if chance.random() < 0.1:
                    kernel.link("add", ifname=name(), kind=chance.choice(["bridge", "ifb", "vrf"]), vrf_table=7)
            except Exception:  # noqa: BLE001, S112 - refusals of the kernel or the library are not the attack
                continue


def fuzz(seed):
    """One change at random after the other, of anything that links and addresses have, well-formed or not."""
    chance = random.Random(seed)  # noqa: S311 - no secret
    names = [f"v{number}" for number in range(PAIRS)]

    def name():
        return chance.choice(
            [chance.choice(names), "".join(chance.choice(ODD) for _ in range(chance.randrange(1, 12)))]
        )

    def address():
        return chance.choice(
            [f"10.98.{chance.randrange(256)}.{chance.randrange(256)}", f"fd98::{chance.randrange(65536):x}"]
        )

    with IPRoute() as kernel:

        def index():
            return chance.choice([chance.randrange(1, 2 * PAIRS), *kernel.link_lookup(ifname=chance.choice(names))])

        changes = [
            lambda: kernel.link("set", index=index(), ifname=name()),
            lambda: kernel.link("set", index=index(), state=chance.choice(["up", "down"])),
            lambda: kernel.link("set", index=index(), address=f"02:00:00:00:{chance.randrange(256):02x}:01"),
            lambda: kernel.link("set", index=index(), mtu=chance.choice([0, 68, 1280, 9000, 2**31 - 1])),
            lambda: kernel.link("set", index=index(), master=index()),
            lambda: kernel.link("set", index=index(), ifalias="".join(chance.choice(ODD) for _ in range(200))),
            lambda: kernel.link("property_add", index=index(), altname="".join(chance.choice(ODD) for _ in range(100))),
            lambda: kernel.link(
                "add", ifname=name(), kind=chance.choice(["bridge", "dummy", "ifb", "vrf"]), vrf_table=7
            ),
            lambda: kernel.link("add", ifname=name(), kind=chance.choice(["macvlan", "ipvlan", "vlan"]), link=index()),
            lambda: kernel.link("add", ifname=name(), kind="veth", peer=name()),
            lambda: kernel.link("del", index=index()),
            lambda: kernel.addr("add", index=index(), address=address(), prefixlen=chance.randrange(33)),
            lambda: kernel.flush_addr(index=index()),
            lambda: kernel.tc("add", chance.choice(["clsact", "ingress", "fq_codel", "noqueue"]), index()),
        ]
        for _ in range(LONG_ROUNDS):
            try:
                chance.choice(changes)()
            except Exception:  # noqa: BLE001, S112 - as above
                continue


@contextmanager
def beside(node, work):  # noqa: F811 - the fixture
    """A process in the hostile pod; yields a function that says whether it still runs."""
    pid = os.fork()
    if pid == 0:
        try:
            node.inside(CLIENT, work)
        finally:
            os._exit(0)
    ended = []

    def runs():
        if not ended and os.waitpid(pid, os.WNOHANG)[0]:
            ended.append(pid)
        return not ended

    try:
        yield runs
    finally:
        if runs():
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.long)])
def test_a_pod_full_of_interfaces_that_change_costs_no_other_pod(node, seed):  # noqa: F811 - the fixture
    """The agent lives, another pod's change is in force on time, memory is bounded, and the pod is reported."""
    node.start()
    before = resident(node.process.pid)
    node.inside(CLIENT, crowd)
    with beside(node, lambda: storm(seed)) as runs:
        began = time.monotonic()
        node.server.delete("multi-networkpolicies", "web-allow-client", "demo")
        node.until(lambda: node.allowed() == set())
        assert time.monotonic() - began < SOON / 2
        while runs():
            time.sleep(0.1)
    node.until(lambda: node.problems("UnclaimedInterface") or "UnclaimedInterface" in node.log.read_text())
    assert node.process.poll() is None
    assert resident(node.process.pid) - before < 60_000
    assert WEB.name in node.log.read_text()


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", [3, 4])
def test_thousands_of_changes_of_links_cost_no_other_pod(node, seed):  # noqa: F811 - the fixture
    """S6, S61, S64: thousands of rounds beside another pod's changes."""
    node.start()
    before = resident(node.process.pid)
    node.inside(CLIENT, crowd)
    slowest, changes = 0.0, 0
    with beside(node, lambda: fuzz(seed)) as runs:
        while runs():
            changes += 1
            slowest = max(slowest, seconds_of_a_change(node, changes))
            assert node.process.poll() is None, node.log.read_text()
    assert changes > 10
    assert slowest < ON_TIME
    node.until(lambda: "reason=UnclaimedInterface" in node.log.read_text())
    assert "Traceback" not in node.log.read_text()
    assert resident(node.process.pid) - before < 60_000


def seconds_of_a_change(node, turn):  # noqa: F811 - the fixture
    """How long another pod's policy takes to get into the kernel."""
    raw = node.raw("MultiNetworkPolicy", "web-allow-client")
    before, began = node.inside(WEB, applier.installed), time.monotonic()
    rules = [{"ports": [{"port": 1000 + turn}]}]
    node.server.put("multi-networkpolicies", {**raw, "spec": {**raw["spec"], "ingress": rules}})
    node.until(lambda: node.inside(WEB, applier.installed) != before)
    return time.monotonic() - began
