"""Persistence and clean-up: a process that is killed, and a namespace that is gone. Needs root."""

import inspect
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pyroute2 import IPRoute

from mnp_core.api import NodeState, Sandbox
from mnp_core.model import SandboxPolicy
from mnp_core.sandbox.netns import run_inside
from mnp_core.testing.conformance.base import leave_out
from mnp_core.testing.conformance.pods import PodConformance
from mnp_core.testing.hosts import Host, Wire
from mnp_core.testing.netns import End, private_namespace, veth_pair
from mnp_core.testing.policies import DENY, GROUP, addresses, allow, isolated, only

_KILLS = 4
_LONGEST = 0.06  # seconds from when a process begins to write until it is killed
_GONE = 10.0  # seconds for the kernel to take a namespace apart, which it does in the background


def _web(port: int) -> SandboxPolicy:
    rules = isolated(allow([GROUP], [f"UDP/{port}"]))
    return only(ingress=rules, egress=DENY, groups=[addresses(GROUP, "10.0.0.2", "fd00::2")])


LIFE = {"first": _web(80), "second": _web(81)}
"""Two policies that a process writes in turn until it is killed. None of them allows port 82."""


class SurvivalConformance(PodConformance, standard=True):
    """The state that must outlive its process, and the state that must not outlive the namespace."""

    def state_outside(self) -> object:
        """All of the plugin's state outside of network namespaces; by default the pinned objects of BPF."""
        return sorted(str(path) for path in Path("/sys/fs/bpf").rglob("*"))

    # --- a process that is killed ---------------------------------------------------------------------------------

    @pytest.mark.root
    def test_rules_in_force_outlive_a_killed_process(self, mnp_cleanup: ExitStack) -> None:
        """S62: SIGKILL between the commit and the end of the process; an agent that comes later finds it."""
        wire = self.make_wire(mnp_cleanup)
        with self._writing(wire.pod.sandbox, "second") as process:
            assert process.stdout.readline() == b"second\n"
        assert self._reached(wire) == [False, True, False]
        assert self.matches(wire.pod.sandbox, self.make_renderer().render(LIFE["second"]))

    @pytest.mark.root
    def test_a_process_that_is_killed_at_any_moment_leaves_one_state_or_the_other(self, mnp_cleanup: ExitStack) -> None:
        """S60, S62: the rules reported as installed are those in force, and the next process can write."""
        wire, chance = self.make_wire(mnp_cleanup), random.Random(0)  # noqa: S311 # moments, no secrets
        wire.pod.enforce(LIFE["first"])
        expected = {name: self.make_renderer().render(policy) for name, policy in LIFE.items()}
        for _ in range(_KILLS):
            with self._writing(wire.pod.sandbox, "second", "first") as process:
                process.stdout.readline()
                time.sleep(chance.uniform(0, _LONGEST))
            reached = self._reached(wire)
            assert reached in ([True, False, False], [False, True, False]), f"ports 80, 81, 82: {reached}"
            for index, name in enumerate(LIFE):
                assert reached[index] or not self.matches(wire.pod.sandbox, expected[name]), f"{name} is not in force"
        wire.pod.enforce(LIFE["first"])
        assert self.matches(wire.pod.sandbox, expected["first"])
        assert self._reached(wire) == [True, False, False]

    @contextmanager
    def _writing(self, where: Sandbox, *names: str) -> Iterator[Any]:
        """A process that brings policies into force in turn, or one and then waits; at the end it is killed."""
        kind = type(self)
        about = {
            "path": sys.path,
            "module": kind.__module__,
            "file": inspect.getsourcefile(kind),
            "name": kind.__qualname__,
            "sandbox": [where.device, where.inode],
            "policies": names,
        }
        with _open_namespace(where) as fd:
            command = [sys.executable, "-m", "mnp_core.testing.conformance._writer", str(fd)]
            process: Any = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=(fd,))
        try:
            process.stdin.write(json.dumps(about).encode() + b"\n")
            process.stdin.flush()
            yield process
        finally:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):  # not to their end: a child of the plugin may hold them
                pipe.close()

    def _reached(self, wire: Wire) -> list[bool]:
        return [wire.into_pod(port=port) for port in (80, 81, 82)]

    # --- a namespace that is gone ---------------------------------------------------------------------------------

    @pytest.mark.root
    def test_nothing_outlives_the_namespace(self, mnp_cleanup: ExitStack) -> None:
        """S62: nothing keeps a pod alive that is gone, and nothing is left of it when it was forgotten."""
        before, applier = self.state_outside(), self.make_applier()
        peer = Host(mnp_cleanup.enter_context(private_namespace()), mnp_cleanup)
        with private_namespace() as gone:
            veth_pair(End(gone, "net1", ("10.0.0.1/24",)), End(peer.sandbox, "out", ("10.0.0.2/24",)))
            ruleset = self.make_renderer().render(LIFE["first"])
            run_inside(gone, lambda: applier.apply(ruleset))
            assert run_inside(gone, applier.installed) is not None
        if isinstance(applier, NodeState):
            applier.forget(gone)
        _wait_until(lambda: not peer.run(partial(_has_link, "out")), "something keeps the namespace: its pod answers")
        assert self.state_outside() == before

    @pytest.mark.root
    def test_a_sweep_removes_state_of_unknown_sandboxes(self, mnp_namespaces: Callable[[], Sandbox]) -> None:
        """S62: namespaces gone while no agent ran; pods that are there keep their rules in force."""
        applier, kept, stale = self.make_applier(), mnp_namespaces(), mnp_namespaces()
        if not isinstance(applier, NodeState):
            # The check above makes sure that nothing is kept.
            leave_out("it is no NodeState: it keeps nothing outside of network namespaces")
        ruleset = self.enforce(kept, LIFE["first"])
        alone = self.state_outside()
        self.enforce(stale, LIFE["second"])
        applier.sweep((kept,))
        assert self.state_outside() == alone
        assert self.matches(kept, ruleset)
        applier.forget(stale)


def _has_link(name: str) -> bool:
    with IPRoute() as kernel:
        return bool(kernel.link_lookup(ifname=name))


def _wait_until(true: Callable[[], bool], problem: str) -> None:
    until = time.monotonic() + _GONE
    while not true():
        assert time.monotonic() < until, problem
        time.sleep(0.05)


@contextmanager
def _open_namespace(where: Sandbox) -> Iterator[int]:
    """A descriptor of the namespace, for a process that has no path to it."""
    fd = os.open(where.path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)
