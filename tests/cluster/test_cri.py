"""Pods of the bed's runtime are found, through CRI and by their processes, also after a restart of the runtime."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from attrs import evolve, field, frozen

from mnp_core.api import Sandbox
from mnp_core.errors import SandboxError, SandboxNotFoundError
from mnp_core.model import ObjectName
from mnp_core.sandbox.created import new_namespace
from mnp_core.sandbox.cri.locator import CriLocator, make_cri_locator
from mnp_core.sandbox.host import HostFilesystem
from mnp_core.sandbox.netns import identify, run_inside
from mnp_core.sandbox.proc.locator import ProcLocator
from mnp_core.testing.builders import pod
from mnp_core.testing.conformance import SandboxLocatorConformance
from mnp_core.testing.conformance.locator import Located
from scripts.testbed.kind import chosen
from scripts.testbed.programs import find_present
from tests.cluster.own.choice import make
from tests.cluster.own.runtime import NODE

MISSING = [name for name in ("runc", chosen().runtime) if find_present(name) is None]

pytestmark = [
    pytest.mark.root,
    pytest.mark.cluster,
    pytest.mark.skipif(
        bool(MISSING), reason=f"no container runtime to start here, make testbed-up installs it: {MISSING} missing"
    ),
]

WEB = evolve(pod("web"), uid="0a1b2c3d-0000-4000-8000-00000000000a")


@pytest.fixture(scope="module")
def runtime():
    home = Path(tempfile.mkdtemp(prefix="mnp-"))  # short, as sockets below it have to be
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, home)
        runtime = make(home, stack.enter_context(new_namespace()).sandbox)
        stack.callback(runtime.clean_up)
        runtime.start()
        runtime.import_pause()
        yield runtime


@pytest.fixture
def run(runtime):
    """Runs sandboxes; those that are left when the test ends are removed."""
    left = []

    def run(pod, **rest):
        left.append(runtime.run(pod, **rest))
        return left[-1]

    yield run
    for sandbox in left:
        runtime.call("RemovePodSandbox", pod_sandbox_id=sandbox)


@pytest.fixture
def locator(runtime):
    return make_cri_locator({"container-runtime-endpoint": f"unix://{runtime.socket}"})


def identity(sandbox):
    return sandbox.device, sandbox.inode


def inside(runtime, sandbox):
    """The namespace that the sandbox's first process is in."""
    return identify(f"/proc/{runtime.pid(sandbox)}/ns/net")


class _OnRuntime(SandboxLocatorConformance):
    @pytest.fixture(autouse=True)
    def _runtime(self, runtime, run):
        self.runtime, self.run = runtime, run

    def make_locator(self, stack):
        raise NotImplementedError

    @contextmanager
    def located(self):
        with ExitStack() as stack:
            sandboxes = [self.run(WEB)]

            def stop():
                self.runtime.call("StopPodSandbox", pod_sandbox_id=sandboxes[-1])

            def remake():
                stop()
                sandboxes.append(self.run(WEB))
                return inside(self.runtime, sandboxes[-1])

            stack.callback(stop)
            sandbox = inside(self.runtime, sandboxes[-1])
            yield Located(locator=self.make_locator(stack), pod=WEB, sandbox=sandbox, remake=remake)


class TestCri(_OnRuntime):
    def make_locator(self, _stack):
        return CriLocator([str(self.runtime.socket)])


@frozen
class _Host(HostFilesystem):
    """The host of a runtime in a namespace: CRI-O's monitors are in it, and in the control groups of their pods."""

    namespace: Sandbox = field(kw_only=True)

    def owns(self, sandbox):
        return super().owns(sandbox) or identity(sandbox) == identity(self.namespace)


class TestProc(_OnRuntime):
    def make_locator(self, _stack):
        return ProcLocator(_Host(namespace=self.runtime.host))


def test_the_path_is_the_one_that_the_runtime_keeps(runtime, run, locator):
    """It outlives the sandbox's first process, and means nothing else after it."""
    run(WEB)
    assert locator.locate(WEB).path.startswith(str(runtime.namespaces()))


def test_a_sandbox_that_has_stopped_is_not_found(runtime, run, locator):
    sandbox = run(WEB)
    locator.locate(WEB)
    runtime.call("StopPodSandbox", pod_sandbox_id=sandbox)
    with pytest.raises(SandboxNotFoundError, match="stopped"):
        locator.locate(WEB)
    runtime.call("RemovePodSandbox", pod_sandbox_id=sandbox)
    with pytest.raises(SandboxNotFoundError, match="no sandbox of it"):
        locator.locate(WEB)


def test_a_sandbox_whose_first_process_was_killed_is_not_found_until_there_is_another(runtime, run, locator):
    sandbox = run(WEB)
    old = locator.locate(WEB)
    os.kill(runtime.pid(sandbox), 9)
    until = time.monotonic() + 10
    while True:
        try:
            locator.locate(WEB)
        except SandboxNotFoundError:
            break
        assert time.monotonic() < until
        time.sleep(0.05)
    new = run(WEB)
    found = locator.locate(WEB)
    assert identity(found) == identity(inside(runtime, new)) != identity(old)


def test_a_runtime_that_restarts_is_connected_to_again(runtime, run, locator):
    sandbox = run(WEB)
    before = locator.locate(WEB)
    runtime.stop()
    with pytest.raises(SandboxError) as down:
        locator.locate(WEB)
    assert not isinstance(down.value, SandboxNotFoundError)
    runtime.start()
    time.sleep(1.1)  # the longest that the channel waits before it connects again
    assert locator.locate(WEB) == before
    assert identity(before) == identity(inside(runtime, sandbox))


def test_pods_of_the_same_name_are_separate(runtime, run, locator):
    other = evolve(WEB, name=ObjectName("other", "web"), uid="0a1b2c3d-0000-4000-8000-00000000000b")
    sandboxes = [(each, run(each)) for each in (WEB, other)]
    for each, sandbox in sandboxes:
        assert identity(locator.locate(each)) == identity(inside(runtime, sandbox))
    with pytest.raises(SandboxNotFoundError):
        locator.locate(evolve(WEB, uid=other.uid))


def test_a_static_pod_is_found_by_the_uid_that_the_kubelet_gave_it(runtime, run, locator):
    mirror = evolve(WEB, static_uid="9c1c5e1d8a0fb50c1b6f0f3c0f8d4e5a")
    sandbox = run(mirror, uid=mirror.static_uid)
    assert identity(locator.locate(mirror)) == identity(inside(runtime, sandbox))


_LOCATE = f"""
import sys
from attrs import evolve
from mnp_core.sandbox.cri.locator import CriLocator
from mnp_core.testing.builders import pod
CriLocator([sys.argv[1]]).locate(evolve(pod("web"), uid="{WEB.uid}"))
"""


def test_a_sandbox_in_the_hosts_network_is_refused(runtime, run, locator):
    """By a process that runs where that runtime does."""
    run(WEB, network=NODE)
    assert identity(locator.locate(WEB)) == identity(runtime.host)
    command = [sys.executable, "-c", _LOCATE, str(runtime.socket)]
    agent = run_inside(
        runtime.host, lambda: subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    )
    assert "Error: pod default/web: " in agent.stderr
    assert "is the host's own network namespace" in agent.stderr
