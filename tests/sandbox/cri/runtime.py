"""A container runtime: CRI v1's RuntimeService on a unix socket, with sandboxes on paper."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import grpc

from mnp_core.protobuf import make_messages
from mnp_core.sandbox.cri.wire import PACKAGE

SERVICE = "runtime.v1.RuntimeService"
READY, NOTREADY = 0, 1

# Written from api.proto once more, with all fields of these messages that a runtime fills.
MESSAGES = make_messages(
    PACKAGE,
    {
        "PodSandboxStateValue": {"state": (1, "int32")},
        "PodSandboxFilter": {
            "id": (1, "string"),
            "state": (2, "PodSandboxStateValue"),
            "label_selector": (3, "map"),
        },
        "ListPodSandboxRequest": {"filter": (1, "PodSandboxFilter")},
        "PodSandboxMetadata": {
            "name": (1, "string"),
            "uid": (2, "string"),
            "namespace": (3, "string"),
            "attempt": (4, "uint32"),
        },
        "PodSandbox": {
            "id": (1, "string"),
            "metadata": (2, "PodSandboxMetadata"),
            "state": (3, "int32"),
            "created_at": (4, "int64"),
            "labels": (5, "map"),
            "annotations": (6, "map"),
            "runtime_handler": (7, "string"),
        },
        "ListPodSandboxResponse": {"items": (1, "repeated PodSandbox")},
        "PodSandboxStatusRequest": {"pod_sandbox_id": (1, "string"), "verbose": (2, "bool")},
        "PodSandboxStatus": {
            "id": (1, "string"),
            "metadata": (2, "PodSandboxMetadata"),
            "state": (3, "int32"),
            "created_at": (4, "int64"),
        },
        "PodSandboxStatusResponse": {"status": (1, "PodSandboxStatus"), "info": (2, "map"), "timestamp": (4, "int64")},
    },
)


def containerd_info(path="", pid=0, **more):
    """A sandbox as containerd or CRI-O lists it; verbose information is omitted, as there."""
    namespaces = [{"type": "pid"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}]
    if path:
        namespaces.append({"type": "network", "path": path})
    spec = {"ociVersion": "1.0.2-dev", "process": {"args": ["/pause"]}, "linux": {"namespaces": namespaces}}
    return json.dumps({"image": "pause", "pid": pid, "config": {"labels": {}}, "runtimeSpec": spec, **more})


class FakeRuntime:
    """A runtime that can stop and start again; its sandboxes outlive it."""

    messages = MESSAGES
    methods: tuple[str, ...] = ("ListPodSandbox", "PodSandboxStatus")

    def __init__(self, socket, *, service=SERVICE, filters=True):
        self.socket, self.service, self.filters = socket, service, filters
        self.sandboxes, self.infos, self.asked = {}, {}, []
        self.may_answer = threading.Event()
        self.may_answer.set()
        self._numbers = count(1)
        self._server = None

    def start(self):
        self._server = grpc.server(ThreadPoolExecutor(max_workers=16, thread_name_prefix="runtime"))
        methods = {name: self._handler(name) for name in self.methods}
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(self.service, methods),))
        self._server.add_insecure_port(f"unix:{self.socket}")
        self._server.start()

    def stop(self):
        self.may_answer.set()
        self._server.stop(grace=None).wait()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def run(self, pod, info, *, uid=None, state=READY):
        """List another sandbox of a pod from now on; return its name."""
        number = next(self._numbers)
        name, namespace, uid = pod.name.name, pod.name.namespace, uid or pod.uid
        self.sandboxes[f"sandbox{number}"] = MESSAGES["PodSandbox"](
            id=f"sandbox{number}",
            metadata={"name": name, "namespace": namespace, "uid": uid, "attempt": number},
            state=state,
            created_at=number,
            labels={
                "io.kubernetes.pod.name": name,
                "io.kubernetes.pod.namespace": namespace,
                "io.kubernetes.pod.uid": uid,
                "app": "web",
            },
        )
        self.infos[f"sandbox{number}"] = info
        return f"sandbox{number}"

    def exit(self, sandbox):
        """Its first process has ended."""
        self.sandboxes[sandbox].state = NOTREADY

    def _handler(self, name):
        def answer(request, context):
            self.asked.append(name)
            self.may_answer.wait()
            return getattr(self, f"_{name}")(request, context)

        return grpc.unary_unary_rpc_method_handler(
            answer, self.messages[f"{name}Request"].FromString, self.messages[f"{name}Response"].SerializeToString
        )

    def _ListPodSandbox(self, request, _context):  # noqa: N802 # as the API calls it
        wanted = request.filter.label_selector.items() if self.filters else {}
        items = [
            each for each in self.sandboxes.values() if all(each.labels.get(key) == value for key, value in wanted)
        ]
        return MESSAGES["ListPodSandboxResponse"](items=items)

    def _PodSandboxStatus(self, request, context):  # noqa: N802 # likewise
        found = self.sandboxes.get(request.pod_sandbox_id)
        if found is None:
            context.abort(grpc.StatusCode.NOT_FOUND, f"sandbox {request.pod_sandbox_id}: not found")
        info = {"info": self.infos[found.id]} if request.verbose and self.infos[found.id] is not None else {}
        status = {"id": found.id, "metadata": found.metadata, "state": found.state, "created_at": found.created_at}
        return MESSAGES["PodSandboxStatusResponse"](status=status, info=info)
