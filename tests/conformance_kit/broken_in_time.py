"""Backends that are broken on purpose where packets, processes or namespaces do not come and go in order.

Not collected by itself: `test_broken.py` runs each class at the check that is named for it, where it must fail.
"""

import os
import subprocess
import tempfile
import time
from functools import partial
from pathlib import Path

from attrs import evolve

from mnp_core.errors import ApplyError
from mnp_core.testing import nft
from mnp_example import ExampleApplier
from tests.conformance_kit import broken_backends
from tests.conformance_kit.broken_backends import T, with_line

MUST_FAIL = {}
broken = partial(broken_backends.broken, into=globals())
OUTSIDE = Path(tempfile.gettempdir(), f"mnp-broken-{os.getppid()}")


def here():
    """The network namespace that this thread is in, in a word."""
    return str(Path("/proc/thread-self/ns/net").stat().st_ino)


def has(interface):
    return Path("/proc/thread-self/net/dev").read_text().find(f" {interface}:") >= 0


# --- packets ------------------------------------------------------------------------------------------------------

broken(
    "RepliesByTheSameWay",
    "test_a_reply_passes_by_another_interface[4]",
    "keeps connections for each interface",
    ruleset=with_line(f'insert rule {T} output oifname "net2" ct direction reply drop'),
)
broken(
    "FirstFragmentFirst",
    "test_fragments_may_come_in_any_order[4]",
    "knows the ports of a datagram from its first fragment only if that came first",
    ruleset=with_line(
        f"add set {T} seen {{ typeof ip saddr . ip id; flags dynamic; size 100; }}\n"
        f"add chain {T} early {{ type filter hook prerouting priority -450; }}\n"
        f"add rule {T} early ip frag-off & 0x3fff == 0x2000 update @seen {{ ip saddr . ip id }}\n"
        f"add rule {T} early ip frag-off & 0x1fff != 0 ip saddr . ip id != @seen drop"
    ),
)
broken(
    "SmallTable",
    "test_an_established_flow_outlasts_a_crowd_of_others",
    "has room for so much, and drops the rest of whatever it is",
    ruleset=with_line(f"insert rule {T} ingress quota over 1 mbytes drop"),
)


class Devices(ExampleApplier):
    """A filter that is bound to the interfaces which are there."""

    def apply(self, ruleset):
        lines = ruleset.text.splitlines(keepends=True)
        absent = [name for name in ("net1", "net2") if f'"{name}"' in ruleset.text and not has(name)]
        super().apply(
            evolve(ruleset, text="".join(each for each in lines if not any(f'"{name}"' in each for name in absent)))
        )
        bound = " ".join(name for name in ("net1", "net2") if name not in absent)
        nft.load(f'add chain {T} bound\nflush chain {T} bound\nadd rule {T} bound counter comment "on {bound}"\n')


class SaysIncomplete(Devices):
    """And says so, but its generation does not change: the agent never hears of it."""

    def installed(self):
        found = super().installed()
        return found and evolve(found, incomplete=has("net1"))

    def generation(self):
        return 1


broken(
    "BoundToDevices",
    "test_an_interface_that_appears_later_is_enforced[4]",
    "is bound to devices, and does not say that one is missing",
    applier=Devices,
)
broken(
    "NobodyAsks",
    "test_an_interface_that_appears_later_is_enforced[6]",
    "says that an interface is missing, but nothing makes anybody ask",
    because="incomplete, but the generation is what it was",
    applier=SaysIncomplete,
)


class Nervous(ExampleApplier):
    def quick_generation(self):
        return time.monotonic_ns()


broken(
    "Nervous",
    "test_a_quick_generation_stays_as_long_as_the_generation_does",
    "has a cheap generation that changes by itself",
    applier=Nervous,
)

# --- processes ----------------------------------------------------------------------------------------------------


class Daemon(ExampleApplier):
    """Something holds the rules, and lets go when the process has ended."""

    def apply(self, ruleset):
        super().apply(ruleset)
        watch = f"while kill -0 {os.getpid()}; do sleep 0.02; done; nft delete table {T}"
        subprocess.Popen(["sh", "-c", watch], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


class Locks(ExampleApplier):
    """Keeps others out by a file, which stays when it is killed."""

    def apply(self, ruleset):
        lock = Path(tempfile.gettempdir(), f"mnp-broken-{here()}.lock")
        try:
            os.close(os.open(lock, os.O_CREAT | os.O_EXCL))
        except FileExistsError as error:
            raise ApplyError("somebody else is writing") from error
        try:
            super().apply(ruleset)
            time.sleep(0.2)
        finally:
            lock.unlink()


broken(
    "RulesOfAProcess",
    "test_rules_in_force_outlive_a_killed_process",
    "holds rules by a descriptor of its own: they go with the process",
    applier=Daemon,
)
broken(
    "StaleLock",
    "test_a_process_that_is_killed_at_any_moment_leaves_one_state_or_the_other",
    "leaves a lock behind when it is killed",
    because="somebody else is writing",
    applier=Locks,
)

# --- namespaces ---------------------------------------------------------------------------------------------------


class Holds(ExampleApplier):
    held = []

    def apply(self, ruleset):
        super().apply(ruleset)
        self.held.append(os.open("/proc/thread-self/ns/net", os.O_RDONLY))


class Pins(ExampleApplier):
    """Leaves a file for each namespace."""

    def apply(self, ruleset):
        super().apply(ruleset)
        OUTSIDE.mkdir(exist_ok=True)
        (OUTSIDE / here()).touch()


class SweepsAll(Pins):
    def forget(self, sandbox):
        (OUTSIDE / str(sandbox.inode)).unlink(missing_ok=True)

    def installed(self):
        return super().installed() if (OUTSIDE / here()).exists() else None

    def sweep(self, known):  # noqa: ARG002 - what is wrong with it
        for each in OUTSIDE.iterdir():
            each.unlink()


def pins(_tests):
    return sorted(each.name for each in OUTSIDE.iterdir()) if OUTSIDE.exists() else []


broken(
    "HoldsNamespaces",
    "test_nothing_outlives_the_namespace",
    "keeps the namespace alive: the pod that is gone answers",
    because="something keeps the namespace",
    applier=Holds,
)
broken(
    "LeavesPins",
    "test_nothing_outlives_the_namespace",
    "leaves its pins behind",
    applier=Pins,
    state_outside=pins,
)
broken(
    "SweepsAll",
    "test_a_sweep_removes_state_of_unknown_sandboxes",
    "sweeps what is in use",
    applier=SweepsAll,
    state_outside=pins,
)
