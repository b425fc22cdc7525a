"""The agent's memory: for pods of the cluster, for a customer's load of policies, for imports alone, over many events.

The API server is a stand-in in this process, so that fifty thousand pods take seconds; the local pods are network
namespaces with a macvlan interface, which a stand-in for the runtime knows. Resident and proportional sets are read
when the agent has been idle for some seconds; the peak is VmHWM. All pods of the cluster are on the network.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from benchmarks.bench import manifests
from benchmarks.bench.customer_load import BUDGETS, POLICIES, customer_pods, more, policies
from benchmarks.bench.engines import WITHOUT_EXAMPLE, Engine, Running, ours
from benchmarks.bench.local_pods import LocalPods, local_pods
from benchmarks.bench.manifests import FAR, NAMESPACE, NODE, Object
from benchmarks.bench.measurement import Measurement, Unavailable
from benchmarks.bench.runtime import runtime
from mnp_core.sandbox.netns import run_inside
from mnp_core.testing.apiserver import FakeApiServer
from mnp_nftables.commit_listener import listen_to_commits

PART: Final = "memory"
_LOCAL: Final = 100
_SIZES: Final = (1_000, 5_000, 10_000, 50_000)
_OF_TARGETS: Final = 5_000  # pods of the cluster
_RESIDENT, _PEAK, _CUSTOMER_PEAK = 70.0, 100.0, 200.0  # MiB
_CUSTOMER_SECONDS: Final = 1.0
_GROWTH: Final = 1.05  # after so many events; noise of the allocator
_EVENTS, _EVENT_PODS = 100_000, 500
_PER_POD: Final = 2  # policies
_IDLE: Final = 8.0  # seconds: longer than until the agent returns free memory
_POLICIES: Final = "multi-networkpolicies"
_IMPORTS: Final = """
import sys
from pathlib import Path
if sys.argv[1:]:
    import mnp_core.cli.node
    import mnp_core.telemetry.logs
    import mnp_core.node.assembly, mnp_core.sandbox.cri.locator, mnp_nftables.applier, mnp_nftables.renderer
lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
print(next(int(line.split()[1]) / 1024 for line in lines if line.startswith("Rss:")))
"""


def measure(*, quick: bool) -> Iterator[Measurement]:
    """Imports, clusters, events, the customer's load."""
    if os.geteuid() != 0:
        raise Unavailable("network namespaces need root: run make bench as root")
    yield from _imports(3)
    local, sizes, events = (20, (500, 2_000), 5_000) if quick else (_LOCAL, _SIZES, _EVENTS)
    sets = {}
    for size in sizes:
        with local_pods(local) as pods, FakeApiServer() as server:
            _fill(server, pods, size)
            with _agent(server, pods) as agent:
                time.sleep(_IDLE)
                sets[size] = agent.memory("Pss")
                yield from _cluster(agent, f"{size} pods, {local} of the node", is_target=size == _OF_TARGETS)
                if size == sizes[0]:
                    yield _soak(agent, server, events)
    first, last = sizes[0], sizes[-1]
    per_pod = (sets[last] - sets[first]) * 2**20 / (last - first)
    yield _figure(f"each pod more, between {first} and {last}: proportional", "B", per_pod)
    for count in (2,) if quick else (10, 40):
        yield from _customer(count, 40 if quick else POLICIES)


def _figure(name: str, unit: str, value: float, target: float | None = None) -> Measurement:
    return Measurement(part=PART, name=name, unit=unit, samples=[value], target=target)


def _imports(rounds: int) -> Iterator[Measurement]:
    """Python, and what the agent imports before it does anything."""
    for name, arguments in (("Python alone", ()), ("Python and the agent's imports", ("all",))):
        command = [sys.executable, "-c", _IMPORTS, *arguments]
        outputs = [subprocess.run(command, check=True, capture_output=True).stdout for _ in range(rounds)]  # noqa: S603 # no input
        yield Measurement(part=PART, name=f"{name}: resident", unit="MiB", samples=list(map(float, outputs)))


# --- the agent ----------------------------------------------------------------------------------------------------


@contextmanager
def _agent(server: FakeApiServer, pods: LocalPods, settings: str = "") -> Iterator[Running]:
    """Our agent, ready."""
    uids = {each["metadata"]["uid"]: each["metadata"]["name"] for each in server.store.objects("pods")}
    by_name = {each.name: each for each in pods.pods}
    known = {uid: by_name[name] for uid, name in uids.items() if name in by_name}
    with TemporaryDirectory() as folder:
        file, socket = Path(folder, "settings.yaml"), Path(folder, "cri.sock")
        file.write_text(WITHOUT_EXAMPLE + settings)
        options = ("--kubeconfig=", f"--master={server.url}", f"--settings={file}")
        engine = Engine(name="mnp", command=lambda socket, own: (*ours().command(socket, own), *options))
        with runtime(socket, NAMESPACE, known), engine.run(socket) as running:
            running.ready()
            yield running


def _peak(agent: Running) -> float:
    """MiB."""
    lines = Path(f"/proc/{agent.process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:"))


# --- pods of the cluster ------------------------------------------------------------------------------------------


def _fill(server: FakeApiServer, pods: LocalPods, size: int) -> None:
    """A network, policies, the node's pods, and others up to `size`."""
    server.put("namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    server.put("network-attachment-definitions", manifests.network())
    for each in manifests.policies(_PER_POD):
        server.put(_POLICIES, each)
    for number, pod in enumerate(pods.pods):
        server.put("pods", _pod(manifests.local_pod(number, pod.name, str(pod.address)), NODE, pod.name))
    for number in range(size - len(pods.pods)):
        server.put("pods", _far(number))


def _far(number: int, **labels: str) -> Object:
    metadata = manifests.far_pod(number, attached=True)
    metadata["labels"] |= labels
    return _pod(metadata, FAR, metadata["name"])


def _pod(metadata: Object, node: str, name: str) -> Object:
    spec = {"nodeName": node, "containers": [{"name": "idle", "image": "idle"}]}
    metadata = {**metadata, "namespace": NAMESPACE}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": manifests.running(name)}


def _cluster(agent: Running, what: str, *, is_target: bool) -> Iterator[Measurement]:
    resident, peak = (_RESIDENT, _PEAK) if is_target else (None, None)
    yield _figure(f"{what}: resident", "MiB", agent.memory("Rss"), resident)
    yield _figure(f"{what}: proportional", "MiB", agent.memory("Pss"))
    yield _figure(f"{what}: peak, start included", "MiB", _peak(agent), peak)


def _soak(agent: Running, server: FakeApiServer, events: int) -> Measurement:
    """Growth of the resident set by changes of labels; a tenth of them comes before, to fill queues and caches."""
    _change(server, range(events // 10))
    time.sleep(_IDLE)
    before = agent.memory("Rss")
    _change(server, range(events // 10, events))
    time.sleep(_IDLE)
    return _figure(f"{events} events: growth, resident", "x", agent.memory("Rss") / before, _GROWTH)


def _change(server: FakeApiServer, numbers: range) -> None:
    """Change labels of pods of other nodes, some of which are peers, not faster than they are taken in."""
    for number in numbers:
        server.put("pods", _far(number % _EVENT_PODS, turn=str(number)))
        if number % _EVENT_PODS == 0:
            time.sleep(0.3)


# --- the customer's load ------------------------------------------------------------------------------------------


def _customer(count: int, number: int) -> Iterator[Measurement]:
    with local_pods(count) as pods, FakeApiServer() as server:
        _fill_customer(server, pods, number)
        what = f"{number} policies of 450 CIDRs, 9 networks, {count} pods"
        with _agent(server, pods, BUDGETS) as agent:
            agent.enforced(count)  # such pods are not waited for until it is ready
            time.sleep(_IDLE)
            yield _figure(f"{what}: resident", "MiB", agent.memory("Rss"))
            seconds, processor = _one_more(agent, server, pods)
            yield _figure(f"{what}: one CIDR more in all pods", "s", seconds, _CUSTOMER_SECONDS)
            yield _figure(f"{what}: one CIDR more, processor", "s", processor)
            yield _figure(f"{what}: peak, start and change included", "MiB", _peak(agent), _CUSTOMER_PEAK)


def _fill_customer(server: FakeApiServer, pods: LocalPods, number: int) -> None:
    made: Mapping[str, list[Object]] = customer_pods({pod.name: str(pod.address) for pod in pods.pods}, NODE)
    for plural, objects in made.items():
        for each in objects:
            server.put(plural, each)
    for each in policies(number):
        server.put(_POLICIES, each)


def _one_more(agent: Running, server: FakeApiServer, pods: LocalPods) -> tuple[float, float]:
    """Seconds until every pod's kernel has told of a commit, and of the agent's processor until it is idle."""
    listeners = [run_inside(pod.sandbox, listen_to_commits) for pod in pods.pods]
    try:
        used, began = agent.seconds_of_processor(), time.monotonic()
        server.put(_POLICIES, more())
        for each in listeners:
            each.settimeout(300)
            each.recv(65536)
        seconds = time.monotonic() - began
    finally:
        for each in listeners:
            each.close()
    time.sleep(2)
    return seconds, agent.seconds_of_processor() - used
