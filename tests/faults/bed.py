"""The fault suite's node: real namespaces, the real program, and stand-ins for API server and container runtime."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from itertools import count
from pathlib import Path

import yaml
from attrs import frozen

from mnp_core.backend import choose_backend
from mnp_core.errors import SandboxNotFoundError
from mnp_core.model import Namespace, Network, ObjectName, Pod, Policy
from mnp_core.plugins import load_plugins
from mnp_core.sandbox.created import new_namespace
from mnp_core.sandbox.netns import run_inside
from mnp_core.sources.decode import Decoder
from mnp_core.sources.manifests import Document
from mnp_core.testing import nft
from mnp_core.testing.cluster import Cluster
from mnp_core.testing.netns import End, private_namespace, veth_pair
from mnp_lab.lab import Lab
from mnp_nftables.replacement import is_in_force
from tests.faults import cluster
from tests.faults.flows import Traffic
from tests.node.program import FINALIZED, PLURALS, free_port
from tests.sandbox.cri.runtime import FakeRuntime, containerd_info

PROGRAM = Path(sys.executable).with_name("multi-network-policy-node")
UNLESS_ORPHANED = "setpriv", "--pdeathsig", "KILL"  # a killed test leaves no agent
SOON = 60  # seconds
NFTABLES = "nftables"


@frozen
class Resources:
    """Resources of a process."""

    descriptors: int
    threads: int
    memory: float  # MiB
    namespaces: int
    files: int


class Bed:
    """All of it; a context manager."""

    def __init__(self, server, folder):
        self.server, self.folder = server, folder
        self.port = free_port()
        self.process = None
        self.sandboxes = {}
        self.environment = {}
        self.log = folder / "log"
        self._numbers, self.far = count(1), []
        self.took = None  # seconds until the rules were right again
        self._exits = ExitStack()
        self._orders = folder / "orders"
        for each in (self._orders, self.scratch):
            each.mkdir()
        self.runtime = FakeRuntime(folder / "runtime.sock")

    @property
    def scratch(self):
        """TMPDIR of the agent, and where its log goes while a disk is full."""
        return self.folder / "scratch"

    def __enter__(self):
        with ExitStack() as stack:
            self._build(stack)
            self._exits = stack.pop_all()
        return self

    def __exit__(self, *_):
        self._exits.close()

    def _build(self, stack):
        raws = list(cluster.manifests())
        lab = stack.enter_context(Lab.run([Document(where="faults", raw=raw) for raw in raws]))
        stack.enter_context(self.runtime)
        for document in lab.objects.values():
            made = self.server.put(PLURALS[document.raw["kind"]], document.raw)
            if made["kind"] == "Pod":
                name = ObjectName(cluster.NAMESPACE, made["metadata"]["name"])
                self._know(made, lab.sandbox(name))
        ends = [(self.sandboxes[name], self.addresses(name)) for name in ("web", "client", "stranger")]
        self.use(NFTABLES)
        stack.callback(self.kill)
        self.traffic = stack.enter_context(Traffic(self.folder, *ends))

    def use(self, backend):
        """Choose another backend, from the next start on."""
        self._backend = choose_backend(load_plugins(), backend)
        settings = {"container-runtime-endpoint": str(self.runtime.socket), "listen": f"127.0.0.1:{self.port}"}
        settings["agent-socket"] = str(self.folder / "agent.sock")
        self._settings.write_text(yaml.safe_dump({**settings, "backend": backend}))
        self._wanted = None, {}

    @property
    def _settings(self):
        return self.folder / "settings.yaml"

    def addresses(self, name):
        raw = self.object("pods", name)
        return json.loads(raw["metadata"]["annotations"][cluster.STATUS])[-1]["ips"]

    def object(self, plural, name):
        return next(each for each in self.server.store.objects(plural) if each["metadata"]["name"] == name)

    # --- pods ---------------------------------------------------------------------------------------------------------

    def add_pod(self, raw, sandbox):
        """Add a local pod, with a sandbox that exists already."""
        self._know(self.server.put("pods", raw), sandbox)

    def _know(self, made, sandbox):
        (pod,) = (change.object for change in Decoder().decode_all([made]))
        self.runtime.run(pod, containerd_info(sandbox.path))
        self.sandboxes[pod.name.name] = sandbox

    def remove_pod(self, name):
        self.server.delete("pods", name, cluster.NAMESPACE)
        self.forget(name)

    def forget(self, name):
        del self.sandboxes[name]
        for key, each in list(self.runtime.sandboxes.items()):
            if each.metadata.name == name:
                del self.runtime.sandboxes[key]

    @contextmanager
    def pods(self, number, **options):
        """Local pods with an interface each, closed to all others; made at once."""
        with ExitStack() as stack:
            names = [f"crowd-{each}" for each in range(number)]
            spaces = [stack.enter_context(new_namespace()) for _ in names]
            outside = stack.enter_context(private_namespace())
            for each, name in zip(spaces, names, strict=True):
                veth_pair(End(outside, name), End(each.sandbox, "net1"))
            for place, (name, space) in enumerate(zip(names, spaces, strict=True)):
                self.add_pod(cluster.ready_pod(name, place, **options), space.sandbox)
            yield names
            for name in names:
                if name in self.sandboxes:
                    self.remove_pod(name)
            self.until(lambda: self._released(spaces), "the namespaces of pods that have gone are released")

    def _released(self, spaces):
        return not self.namespaces() & {each.sandbox.inode for each in spaces}

    # --- the program --------------------------------------------------------------------------------------------------

    def start(self, *, ready=True, **environment):
        inside = {"PYTHONPATH": str(Path(__file__).with_name("inside")), "MNP_FAULTS": str(self._orders)}
        variables = {**os.environ, **inside, "TMPDIR": str(self.scratch), **environment}
        options = ["--settings", self._settings, "--master", self.server.url, "--hostname-override", "here"]
        with self.log.open("w") as log:
            self.process = subprocess.Popen([*UNLESS_ORPHANED, PROGRAM, *options], stderr=log, env=variables)
        if ready:
            self.await_ready()

    def await_ready(self):
        self.until(self.is_ready, "the agent is ready")
        time.sleep(FINALIZED)

    def is_ready(self):
        """By its probe; the log may be on a full disk."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=5) as answer:
                return answer.status == 200
        except OSError:
            return False

    @property
    def running(self):
        return self.process is not None and self.process.poll() is None

    def kill(self):
        if self.running:
            self.process.kill()
            self.process.wait()

    def await_death(self, code=-signal.SIGKILL):
        assert self.process.wait(SOON) == code, self.text()

    def text(self):
        return self.log.read_text(errors="replace")

    def until(self, true, what):
        end = time.monotonic() + SOON
        while not true():
            assert self.running, f"{what}: the agent has ended with {self.process.poll()}: {self.text()[-5000:]}"
            assert time.monotonic() < end, f"{what}: {self.text()[-5000:]}"
            time.sleep(0.02)

    def recover(self, what):
        """Wait until the rules are right: the fault ends now."""
        began = time.monotonic()
        self.until(self.right, what)
        self.took = time.monotonic() - began

    def resources(self):
        proc, scratch = Path("/proc", str(self.process.pid)), list(self.scratch.iterdir())
        memory = int((proc / "status").read_text().partition("VmRSS:")[2].split()[0]) / 1024
        descriptors, threads = list((proc / "fd").iterdir()), list((proc / "task").iterdir())
        return Resources(len(descriptors), len(threads), memory, len(self.namespaces()), len(scratch))

    def namespaces(self):
        """The inodes of the network namespaces that the agent's threads are in, or that it has open."""
        proc = Path("/proc", str(self.process.pid))
        paths = [*(task / "ns/net" for task in (proc / "task").iterdir()), *(proc / "fd").iterdir()]
        links = set()
        for path in paths:
            with suppress(OSError):
                links.add(str(path.readlink()))
        return {int(each[5:-1]) for each in links if each.startswith("net:[")}

    # --- faults inside of it ------------------------------------------------------------------------------------------

    @contextmanager
    def order(self, *, must=True, **order):
        """Have the calls of the program fail (`inside/sitecustomize.py`); it must happen, unless it need not."""
        for name in ("fired", "go"):
            (self._orders / name).unlink(missing_ok=True)
        new = self._orders / "new"
        new.write_text(json.dumps(order))
        new.replace(self._orders / "order")
        try:
            yield
            assert self.fired or not must, "it was never done"
        finally:
            (self._orders / "order").unlink(missing_ok=True)

    @property
    def fired(self):
        """The number of faults that happened."""
        path = self._orders / "fired"
        return path.stat().st_size if path.exists() else 0

    def go(self):
        """End a pause."""
        (self._orders / "go").touch()

    # --- changes, and the right outcome -------------------------------------------------------------------------------

    def change(self):
        """Both ways of an update: of the rules, and of a group's members."""
        self.change_policy()
        self.change_members()

    def change_policy(self):
        self.server.put(cluster.POLICIES, cluster.moving(next(self._numbers)))

    def change_members(self):
        """One more, and one less."""
        number = next(self._numbers)
        self.server.put("pods", cluster.ready_pod(f"far-{number}", 5000 + number, app="client", node="elsewhere"))
        self.far.append(f"far-{number}")
        if len(self.far) > 3:
            self.server.delete("pods", self.far.pop(0), cluster.NAMESPACE)

    def wanted(self):
        """The ruleset of each pod, as a fresh agent renders it from the present objects."""
        of = self.server.epoch, self.server.store.version, *self.sandboxes
        if of != self._wanted[0]:
            self._wanted = of, self._render()
        return self._wanted[1]

    def _render(self):
        raws = [raw for plural in PLURALS.values() for raw in self.server.store.objects(plural)]
        found = [change.object for change in Decoder().decode_all(raws)]
        parts = {"pods": Pod, "policies": Policy, "networks": Network, "namespaces": Namespace}
        sorts = {name: tuple(each for each in found if isinstance(each, kind)) for name, kind in parts.items()}
        whole = Cluster(**sorts)
        return {
            name: self._backend.renderer.render(whole.sandbox(f"{cluster.NAMESPACE}/{name}")) for name in self.sandboxes
        }

    def right(self):
        """Whether each pod has exactly its ruleset."""
        return all(self.has(name, ruleset) for name, ruleset in self.wanted().items())

    def has(self, name, ruleset):
        with suppress(SandboxNotFoundError):
            installed = run_inside(self.sandboxes[name], self._backend.applier.installed)
            return installed is not None and installed.matches(ruleset)
        return False

    def has_leftovers(self):
        """Whether the rules of each pod are in force, and what they have replaced is there in one."""
        rulesets = self.wanted().items()
        held = all(run_inside(self.sandboxes[name], partial(is_in_force, ruleset)) for name, ruleset in rulesets)
        return held and not self.right()

    def differences(self):
        """Pods with another listing of the packet filter than a new namespace with the rules of a fresh agent."""
        with private_namespace() as fresh:
            return [name for name, ruleset in self.wanted().items() if self._differs(name, ruleset, fresh)]

    def _differs(self, name, ruleset, fresh):
        run_inside(fresh, lambda: self._backend.applier.apply(ruleset))
        wanted, found = (run_inside(each, nft.listing) for each in (fresh, self.sandboxes[name]))
        return sorted(wanted.split()) != sorted(found.split())

    def table_handle(self, name="web"):
        """A number that only a table that was never deleted keeps: there was no moment without its hooks."""
        return run_inside(self.sandboxes[name], lambda: nft.nft("-j", "list", "tables"))
