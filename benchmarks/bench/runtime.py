"""A container runtime for pods that are a network namespace and a process: a stand-in that answers CRI."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from attrs import evolve

from benchmarks.bench.local_pods import LocalPod
from mnp_core.protobuf import make_messages
from mnp_core.sandbox.cri.wire import PACKAGE
from mnp_core.testing.builders import pod
from tests.sandbox.cri.runtime import FakeRuntime

# Names, numbers and types are those of pkg/apis/runtime/v1/api.proto in https://github.com/kubernetes/cri-api.
CONTAINERS: Final = make_messages(
    PACKAGE,
    {
        "ContainerStatusRequest": {"container_id": (1, "string"), "verbose": (2, "bool")},
        "ContainerStatus": {"id": (1, "string"), "state": (3, "int32")},
        "ContainerStatusResponse": {"status": (1, "ContainerStatus"), "info": (2, "map")},
    },
)
_RUNNING: Final = 1  # ContainerState.CONTAINER_RUNNING


class _Runtime(FakeRuntime):
    """Our agent asks for sandboxes, other engines for containers; a container has its pod's name."""

    messages: Mapping[str, Any] = {**FakeRuntime.messages, **CONTAINERS}
    methods: tuple[str, ...] = (*FakeRuntime.methods, "ContainerStatus")

    def __init__(self, socket: Path, containers: Mapping[str, str]) -> None:
        super().__init__(socket)  # type: ignore[no-untyped-call] # a test's
        self._containers = containers

    def _ContainerStatus(self, request: Any, _context: object) -> Any:  # noqa: N802 # as the API calls it
        status = {"id": request.container_id, "state": _RUNNING}
        info = {"info": self._containers[request.container_id]}
        return self.messages["ContainerStatusResponse"](status=status, info=info)


@contextmanager
def runtime(socket: Path, namespace: str, pods: Mapping[str, LocalPod]) -> Iterator[None]:
    """Serve on a socket.

    Args:
        socket: Its path.
        namespace: Of all pods.
        pods: By their UIDs in the API.
    """
    found = _Runtime(socket, {each.name: json.dumps({"pid": each.pid}) for each in pods.values()})
    for uid, each in pods.items():
        found.run(evolve(pod(f"{namespace}/{each.name}"), uid=uid), json.dumps({"pid": each.pid}))  # type: ignore[no-untyped-call] # likewise
    with found:
        yield
