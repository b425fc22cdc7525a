"""Pods are found by the container runtime's list of sandboxes: their own, running one (S64)."""

import os
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import pytest
from attrs import evolve

from mnp_core.errors import InputError, SandboxError, SandboxNotFoundError
from mnp_core.model import ObjectName
from mnp_core.sandbox.created import new_namespace, pin, unpin
from mnp_core.sandbox.cri.locator import CriLocator, make_cri_locator
from mnp_core.sandbox.host import HostFilesystem
from mnp_core.sandbox.netns import run_inside
from mnp_core.testing.builders import pod
from mnp_core.testing.conformance import SandboxLocatorConformance
from mnp_core.testing.conformance.locator import Located
from tests.sandbox.cri.runtime import NOTREADY, FakeRuntime, containerd_info
from tests.sandbox.looks import lay_out_process

UID = "0a1b2c3d-0000-4000-8000-000000000001"
WEB = evolve(pod("web"), uid=UID)
LIMIT = 2.0  # of a call


@pytest.fixture
def endpoint(tmp_path):
    return tmp_path / "runtime.sock"


@pytest.fixture
def runtime(endpoint):
    with FakeRuntime(endpoint) as runtime:
        yield runtime


@pytest.fixture
def locator(endpoint):
    return CriLocator([str(endpoint)])


@pytest.fixture
def space():
    with new_namespace() as space:
        yield space.sandbox


def identity(sandbox):
    return sandbox.device, sandbox.inode


@contextmanager
def process_in(sandbox):
    """A pause process, such as a sandbox has; its number."""
    process = run_inside(sandbox, lambda: subprocess.Popen(["sleep", "600"]))
    try:
        yield process.pid
    finally:
        process.kill()
        process.wait()


# --- duties of every locator --------------------------------------------------------------------------------------


class _Cri(SandboxLocatorConformance):
    @contextmanager
    def told(self, sandbox):
        """A sandbox in the runtime's list."""
        raise NotImplementedError

    @pytest.fixture(autouse=True)
    def _endpoint(self, endpoint):
        self.endpoint = endpoint

    @contextmanager
    def located(self):
        with ExitStack() as stack:
            runtime = stack.enter_context(FakeRuntime(self.endpoint))
            locator = CriLocator([str(self.endpoint)])
            names = []

            def make():
                space = stack.enter_context(new_namespace()).sandbox
                names.append(runtime.run(WEB, stack.enter_context(self.told(space))))
                return space

            def remake():
                runtime.exit(names[-1])
                return make()

            yield Located(locator=locator, pod=WEB, sandbox=make(), remake=remake)


class TestByPath(_Cri):
    @contextmanager
    def told(self, sandbox):
        yield containerd_info(sandbox.path)


class TestByProcess(_Cri):
    @contextmanager
    def told(self, sandbox):
        with process_in(sandbox) as pid:
            yield containerd_info(pid=pid)


# --- the sandbox's owner ------------------------------------------------------------------------------------------

root = pytest.mark.root


@root
def test_the_newest_of_those_that_run_counts(runtime, locator, space):
    """S61: a recreated sandbox; remains of older ones may be listed in any order."""
    for state in (NOTREADY, 0):
        runtime.run(WEB, containerd_info("/nonexistent"), state=state)
    newest = runtime.run(WEB, containerd_info(space.path))
    runtime.run(WEB, containerd_info("/nonexistent"), state=NOTREADY)
    runtime.sandboxes = dict(sorted(runtime.sandboxes.items(), key=lambda item: item[0] != newest))
    assert identity(locator.locate(WEB)) == identity(space)


def test_a_sandbox_that_has_stopped_is_no_longer_found(runtime, locator):
    runtime.run(WEB, containerd_info("/nonexistent"), state=NOTREADY)
    with pytest.raises(SandboxNotFoundError, match="stopped"):
        locator.locate(WEB)


@root
@pytest.mark.parametrize("filters", [True, False])
@pytest.mark.parametrize(
    "other",
    [
        evolve(WEB, uid="another"),
        evolve(WEB, uid=""),
        evolve(WEB, name=ObjectName("default", "wob")),
        evolve(WEB, name=ObjectName("other", "web")),
        evolve(WEB, static_uid="another"),
        evolve(WEB, name=ObjectName("other", "web"), uid="another", static_uid=UID),
    ],
    ids=str,
)
def test_no_pod_claims_the_sandbox_of_another(runtime, locator, space, filters, other):
    """Namespace, name and UID have to match, also with a runtime that does not filter its list."""
    runtime.filters = filters
    runtime.run(WEB, containerd_info(space.path))
    with pytest.raises(SandboxNotFoundError):
        locator.locate(other)


@root
def test_a_static_pod_is_found_by_the_uid_that_the_kubelet_gave_it(runtime, locator, space):
    mirror = evolve(WEB, static_uid="9c1c5e1d8a0fb50c1b6f0f3c0f8d4e5a")
    runtime.run(WEB, containerd_info(space.path), uid=mirror.static_uid)
    assert identity(locator.locate(mirror)) == identity(space)


# --- a runtime's answers ------------------------------------------------------------------------------------------


@root
def test_the_process_helps_where_the_path_is_not_to_be_seen_from_here(runtime, locator, space):
    """/run/netns is mounted into fewer containers than /proc is seen from."""
    with process_in(space) as pid:
        runtime.run(WEB, containerd_info("/run/netns/nonexistent", pid))
        assert identity(locator.locate(WEB)) == identity(space)


@root
@pytest.mark.parametrize("info", [containerd_info("/proc/self/ns/net"), containerd_info(pid=os.getpid())])
def test_the_hosts_own_namespace_is_no_pods(runtime, locator, info):
    runtime.run(WEB, info)
    with pytest.raises(SandboxError, match="host's own") as caught:
        locator.locate(WEB)
    assert not isinstance(caught.value, SandboxNotFoundError)


@root
def test_the_hosts_own_namespace_is_no_pods_for_an_agent_in_a_namespace_of_its_own(tmp_path, space):
    """Then it is known by the host's /proc alone."""
    lay_out_process(tmp_path, 1, space)
    with FakeRuntime(tmp_path / "runtime.sock") as runtime:
        locator = CriLocator(["/runtime.sock"], HostFilesystem(str(tmp_path)))
        runtime.run(WEB, containerd_info(pid=1))
        with pytest.raises(SandboxError, match="host's own"):
            locator.locate(WEB)


@root
def test_a_namespace_that_the_runtime_has_closed_is_gone(runtime, locator, space):
    runtime.run(WEB, containerd_info(space.path, netNamespaceClosed=True))
    with pytest.raises(SandboxNotFoundError, match="closed"):
        locator.locate(WEB)


@pytest.mark.parametrize("info", [None, "", "{}", "null", containerd_info(), '{"runtimeSpec": null}', '{"pid": -1}'])
def test_incomplete_answer_of_a_runtime_is_an_error_with_a_remedy(runtime, locator, info):
    runtime.run(WEB, info)
    with pytest.raises(SandboxError) as caught:
        locator.locate(WEB)
    assert "locator 'proc'" in str(caught.value) or "unknown form" in str(caught.value)


@pytest.mark.parametrize(
    "info",
    [
        "not JSON",
        "[]",
        "3",
        '{"pid": "1"}',
        '{"pid": 1.5}',
        '{"pid": 1e400}',
        '{"pid": ' + "9" * 5000 + "}",
        '{"runtimeSpec": []}',
        '{"runtimeSpec": {"linux": {"namespaces": {"type": "network"}}}}',
        '{"runtimeSpec": {"linux": {"namespaces": [3]}}}',
        "[" * 100_000,
        '{"x": ' + "[" * 100_000 + "]" * 100_000 + "}",
        containerd_info("proc/1/ns/net"),
        containerd_info("/etc/passwd"),
        containerd_info("/dev/zero"),
        containerd_info("/"),
        containerd_info("/proc/self/ns/mnt"),
        containerd_info("/run/\0/x"),
        containerd_info("/" + "x" * 100_000),
        '{"runtimeSpec": {"linux": {"namespaces": [{"type": "network", "path": "/\\ud800"}]}}}',
        containerd_info(pid=2**31 - 1),
        containerd_info(pid=2**62),
    ],
    ids=lambda info: ascii(info[-40:]).replace("\\", "/"),
)
def test_nonsense_of_a_runtime_is_an_error_of_that_pod_and_no_other(runtime, locator, info):
    runtime.run(WEB, info)
    with pytest.raises(SandboxError):
        locator.locate(WEB)


# --- a runtime that is not well -----------------------------------------------------------------------------------


@root
def test_a_runtime_that_hangs_costs_its_time_limit(runtime, locator, space):
    runtime.run(WEB, containerd_info(space.path))
    runtime.may_answer.clear()
    with ThreadPoolExecutor(8) as threads:
        began = time.monotonic()
        errors = [threads.submit(locator.locate, WEB).exception for _ in range(8)]
        assert all("did not answer within 2 s" in str(error()) for error in errors)
        assert time.monotonic() - began < 2 * LIMIT
    runtime.may_answer.set()
    assert identity(locator.locate(WEB)) == identity(space)


@root
def test_a_runtime_that_restarts_is_connected_to_again(runtime, locator, space):
    runtime.run(WEB, containerd_info(space.path))
    locator.locate(WEB)
    runtime.stop()
    with pytest.raises(SandboxError) as down:
        locator.locate(WEB)
    runtime.start()
    assert not isinstance(down.value, SandboxNotFoundError)  # the pod may well be there
    until = time.monotonic() + 5
    while True:
        try:
            assert identity(locator.locate(WEB)) == identity(space)
            break
        except SandboxError:
            assert time.monotonic() < until
            time.sleep(0.05)


@root
def test_a_sandbox_that_goes_between_two_questions_is_not_found(runtime, locator, space):
    name = runtime.run(WEB, containerd_info(space.path))
    listed = runtime._ListPodSandbox

    def list_and_drop(request, context):
        answer = listed(request, context)
        runtime.sandboxes.pop(name, None)
        return answer

    runtime._ListPodSandbox = list_and_drop
    with pytest.raises(SandboxNotFoundError, match="gone"):
        locator.locate(WEB)


def test_a_runtime_without_cri_v1_differs_from_one_that_is_down(endpoint, locator):
    with (
        FakeRuntime(endpoint, service="runtime.v1alpha2.RuntimeService"),
        pytest.raises(SandboxError, match=r"containerd 1\.6"),
    ):
        locator.locate(WEB)


def test_a_socket_that_is_not_there_is_named(locator, endpoint):
    with pytest.raises(SandboxError, match=f"{endpoint}: there is no such socket: see that"):
        locator.locate(WEB)


def test_a_file_that_is_no_socket_is_named(locator, endpoint):
    endpoint.touch()
    with pytest.raises(SandboxError, match=f"{endpoint}: not a socket"):
        locator.locate(WEB)


# --- settings -----------------------------------------------------------------------------------------------------


@root
@pytest.mark.parametrize("form", ["{}", "unix://{}"])
def test_the_endpoint_is_a_path_or_a_unix_url(runtime, endpoint, space, form):
    runtime.run(WEB, containerd_info(space.path))
    locator = make_cri_locator({"container-runtime-endpoint": form.format(endpoint)})
    assert identity(locator.locate(WEB)) == identity(space)


@pytest.mark.parametrize("endpoint", ["tcp://127.0.0.1:1", "run/x.sock", "unix://run/x.sock", "npipe:////./pipe/x"])
def test_any_other_endpoint_is_an_input_error(endpoint):
    with pytest.raises(InputError, match=r"container-runtime-endpoint: .* is not the path of a unix socket"):
        make_cri_locator({"container-runtime-endpoint": endpoint})


def test_a_prefix_has_to_be_absolute():
    with pytest.raises(InputError, match="host-prefix: 'host' is not an absolute path"):
        make_cri_locator({"host-prefix": "host"})


@root
def test_without_an_endpoint_the_first_that_is_there_is_asked(tmp_path, space):
    """Under the prefix, with the links that the host has there: /var/run leads to the host's /run."""
    (tmp_path / "run" / "netns").mkdir(parents=True)
    (tmp_path / "var").mkdir()
    (tmp_path / "var" / "run").symlink_to("/run")
    locator = make_cri_locator({"host-prefix": f"{tmp_path}/"})
    with pytest.raises(
        SandboxError, match=f"none of {tmp_path}/run/containerd/containerd.sock, {tmp_path}/run/crio/crio"
    ):
        locator.locate(WEB)
    netns = tmp_path / "run" / "netns" / "cni-1"
    pin(space, netns)
    try:
        with FakeRuntime(tmp_path / "run" / "cri-dockerd.sock") as runtime:
            runtime.run(WEB, containerd_info("/var/run/netns/cni-1"))
            found = locator.locate(WEB)
        assert (identity(found), found.path) == (identity(space), str(netns))
    finally:
        unpin(netns)


@root
def test_with_a_prefix_nothing_of_the_containers_own_is_taken_for_the_hosts(runtime, endpoint, tmp_path, space):
    """The same path exists here too, and leads to another pod's namespace."""
    host = tmp_path / "host"
    host.mkdir()
    (host / "link.sock").symlink_to(os.path.relpath(endpoint, host))
    outside = CriLocator(["/link.sock"], HostFilesystem(str(host)))
    runtime.run(WEB, containerd_info(space.path))
    with pytest.raises(SandboxError, match="no such socket"):  # a relative link does not lead out either
        outside.locate(WEB)
    with FakeRuntime(host / "own.sock") as inner:
        inner.run(WEB, containerd_info(space.path))
        locator = CriLocator(["/own.sock"], HostFilesystem(str(host)))
        with pytest.raises(SandboxNotFoundError, match=f"{host}{space.path}"):
            locator.locate(WEB)
