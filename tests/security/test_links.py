"""A process with CAP_NET_ADMIN makes interfaces and addresses without end in its own pod (S6, S64)."""

import os
import random
import subprocess
import time
from pathlib import Path

import pytest
from pyroute2 import IPRoute

from mnp_core.model import ObjectName
from tests.node.conftest import node  # noqa: F401 - the fixture
from tests.node.program import SOON, WEB

pytestmark = pytest.mark.root
CLIENT = ObjectName("demo", "client")
PAIRS, ADDRESSES, ROUNDS = 750, 2000, 400
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
            except Exception:  # noqa: BLE001, S112 - whatever the kernel or the library refuses is not the attack
                continue


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.long)])
def test_a_pod_full_of_interfaces_that_change_costs_no_other_pod(node, seed):  # noqa: F811 - the fixture
    """The agent lives, another pod's change is in force on time, memory is bounded, and the pod is reported."""
    node.start()
    before = resident(node.process.pid)
    node.inside(CLIENT, crowd)
    pid = os.fork()
    if pid == 0:
        try:
            node.inside(CLIENT, lambda: storm(seed))
        finally:
            os._exit(0)
    try:
        began = time.monotonic()
        node.server.delete("multi-networkpolicies", "web-allow-client", "demo")
        node.until(lambda: node.allowed() == set())
        assert time.monotonic() - began < SOON / 2
    finally:
        os.waitpid(pid, 0)
    node.until(lambda: node.problems("UnclaimedInterface") or "UnclaimedInterface" in node.log.read_text())
    assert node.process.poll() is None
    assert resident(node.process.pid) - before < 60_000
    assert WEB.name in node.log.read_text()
