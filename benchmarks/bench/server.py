"""What a node costs the API server and the network: bytes, requests and processor time, of a list and of an event.

Beside the way in which the agent asks, others: with pods on the host's network (field selectors leave them out), the
list in one stream (sendInitialEvents), from the server's memory (resourceVersion=0), as metadata alone
(PartialObjectMetadata), as protobuf; and all fields decoded, not only those that are read. Pods have the size of real
ones, one of five is on the host's network. Processor time of the API server is the sum of its threads' run times,
decoding is ours, without making objects of the model. Of an event: what one watch more costs, by 16 of them beside
none.
"""

import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, suppress
from http.client import HTTPException
from typing import Final

import msgspec
from attrs import define, field, frozen

from benchmarks.bench.cluster import POD, Cluster, cluster
from benchmarks.bench.manifests import NAMESPACE
from benchmarks.bench.measurement import Measurement
from benchmarks.bench.plain_http import answer, seconds_of_api_server
from benchmarks.bench.typical_pods import make_typical_pods
from mnp_core.sources.kubernetes.codec import read_event, read_head, read_object, read_page
from mnp_core.sources.kubernetes.resource import resources

PART: Final = "server"
_PATH: Final = f"/api/v1/namespaces/{NAMESPACE}/pods"
_PODS: Final = next(each for each in resources(()) if each.kind == "Pod")
_JSON, _PROTOBUF = "application/json", "application/vnd.kubernetes.protobuf"
_META: Final = "application/json;as=PartialObjectMetadata{};g=meta.k8s.io;v=v1"
_WATCHES: Final = 16
_SETTLE: Final = 1.0  # seconds


@frozen(kw_only=True)
class _Way:
    """A way to ask.

    Attributes:
        narrowed: Whether pods on the host's network are left out.
        accept: The header.
        params: Of a list, besides; a watch has none of them.
        streamed: Whether the list comes as events of a watch.
    """

    narrowed: bool = True
    accept: str = _JSON
    params: Mapping[str, str] = field(factory=dict)
    streamed: bool = False

    @property
    def selectors(self) -> Mapping[str, str]:
        """Of fields."""
        return _PODS.narrower if self.narrowed else _PODS.params


_PAGES: Final = {"limit": "500"}
_STREAMED: Final = {
    "watch": "true",
    "sendInitialEvents": "true",
    "resourceVersionMatch": "NotOlderThan",
    "allowWatchBookmarks": "true",
    "timeoutSeconds": "30",
}
_WAYS: Final = {
    "as asked for": _Way(params=_PAGES),
    "with the host's network": _Way(params=_PAGES, narrowed=False),
    "from memory": _Way(params={"resourceVersion": "0"}),
    "streamed": _Way(params=_STREAMED, streamed=True),
    "metadata alone": _Way(params=_PAGES, accept=_META.format("List")),
    "protobuf, at once": _Way(params={"limit": "5000"}, accept=_PROTOBUF),
}
_EVENT_WAYS: Final = {"as asked for": _Way(), "metadata alone": _Way(accept=_META.format(""))}


def measure(*, quick: bool) -> Iterator[Measurement]:
    """Lists, then events."""
    pods, rounds, events = (200, 2, 40) if quick else (1_000, 7, 200)
    with cluster() as found:
        make_typical_pods(found.objects, pods)
        time.sleep(_SETTLE)
        yield from _lists(pods, rounds)
        yield from _events(found, events, rounds=2 if quick else 5)


@define
class _Cost:
    """Of a list or of events."""

    size: int = 0
    requests: int = 0
    server: float = 0.0
    decoding: float = 0.0
    decoding_all: float = 0.0


def _lists(pods: int, rounds: int) -> Iterator[Measurement]:
    taken: dict[str, list[_Cost]] = {name: [] for name in _WAYS}
    for _ in range(rounds):
        for name, way in _WAYS.items():
            taken[name].append(_list(way))
    for name, costs in taken.items():
        label = f"list of {pods} pods, {name}"
        yield _figure(f"{label}: bytes", "kB", [cost.size / 1000 for cost in costs])
        yield _figure(f"{label}: requests", "1", [float(cost.requests) for cost in costs])
        yield _figure(f"{label}: processor of the API server", "ms", [cost.server * 1000 for cost in costs])
        if _WAYS[name].accept != _PROTOBUF:
            yield _figure(f"{label}: decoding", "ms", [cost.decoding * 1000 for cost in costs])
            yield _figure(f"{label}: decoding all fields", "ms", [cost.decoding_all * 1000 for cost in costs])


def _figure(name: str, unit: str, samples: list[float]) -> Measurement:
    return Measurement(part=PART, name=name, unit=unit, samples=samples)


def _list(way: _Way) -> _Cost:
    cost, before, rest = _Cost(), seconds_of_api_server(), "begin"
    while rest:
        params = {**way.selectors, **way.params}
        if rest != "begin":
            params["continue"] = rest
        with answer(_PATH, params, way.accept) as response:
            bodies = _until_bookmark(response) if way.streamed else [response.read()]
        cost.requests += 1
        cost.size += sum(map(len, bodies))
        began = time.thread_time()
        rest = _decoded(bodies, way)
        cost.decoding += time.thread_time() - began
        began = time.thread_time()
        if way.accept != _PROTOBUF:
            [msgspec.json.decode(body) for body in bodies]
        cost.decoding_all += time.thread_time() - began
    cost.server = seconds_of_api_server() - before
    return cost


def _until_bookmark(lines: Iterable[bytes]) -> list[bytes]:
    found = []
    for line in lines:
        found.append(line)
        if line.startswith(b'{"type":"BOOKMARK"'):
            break
    return found


def _decoded(bodies: list[bytes], way: _Way) -> str:
    """Decode as the agent does; the token of the next page."""
    if way.streamed:
        for line in bodies[:-1]:
            event = read_event(line)
            read_head(event.object)
            read_object(event.object, "Pod")
        return ""
    if way.accept == _PROTOBUF:
        return ""  # only counted
    page = read_page(bodies[0], "v1" if way.accept == _JSON else "meta.k8s.io/v1")
    for raw in page.items:
        read_head(raw)
        read_object(raw, "Pod")
    return page.rest


def _events(found: Cluster, count: int, rounds: int) -> Iterator[Measurement]:
    size: dict[str, float] = {}
    cost: dict[str, list[float]] = {name: [] for name in _EVENT_WAYS}
    decoding: dict[str, list[float]] = {name: [] for name in _EVENT_WAYS}
    for _ in range(rounds):
        alone, _ = _watched(found, count, None)
        for name, way in _EVENT_WAYS.items():
            used, lines = _watched(found, count, way)
            cost[name].append(max(0.0, used - alone) / count / _WATCHES * 1e6)
            size[name] = sum(map(len, lines)) / len(lines)
            began = time.thread_time()
            _decoded([*lines, b""], _Way(streamed=True))
            decoding[name].append((time.thread_time() - began) / len(lines) * 1e6)
    for name in _EVENT_WAYS:
        yield _figure(f"event of a pod, {name}: bytes", "1", [size[name]])
        yield _figure(f"event of a pod, {name}: processor of the API server, each watch", "us", cost[name])
        yield _figure(f"event of a pod, {name}: decoding", "us", decoding[name])


def _follow(stack: ExitStack, way: _Way, version: str, events: list[bytes]) -> None:
    """Gather events on a thread, until the stack is left."""
    params = {**way.selectors, "watch": "true", "resourceVersion": version, "timeoutSeconds": "120"}
    stream = stack.enter_context(answer(_PATH, params, way.accept))
    thread = threading.Thread(target=_gather, args=(stream, events))
    stack.callback(thread.join)
    stack.callback(stream.hang_up)
    thread.start()


def _gather(stream: Iterable[bytes], events: list[bytes]) -> None:
    with suppress(OSError, ValueError, HTTPException):  # it was hung up
        events.extend(stream)


def _watched(found: Cluster, count: int, way: _Way | None) -> tuple[float, list[bytes]]:
    """Change pods under a number of watches: seconds of the API server, and the events of one watch."""
    events: list[list[bytes]] = []
    with ExitStack() as stack:
        version = found.objects.request("GET", _PATH, query={"limit": 1})["metadata"]["resourceVersion"]
        if way is not None:
            events += [[] for _ in range(_WATCHES)]
            for each in events:
                _follow(stack, way, version, each)
        before = seconds_of_api_server()
        for number in range(count):
            labels = {"metadata": {"labels": {"changed": str(time.monotonic_ns())}}}
            found.objects.patch(POD, f"far-{number % 50 * 2}", labels, NAMESPACE)
        found.objects.wait_for("all events", lambda: all(len(each) >= count for each in events))
        used = seconds_of_api_server() - before
    return used, events[0] if events else []
