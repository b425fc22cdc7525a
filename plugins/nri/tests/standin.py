"""A stand-in for the runtime's side of NRI, after pkg/adaptation of containerd/nri 0.12: for tests without a runtime.

Unlike it, this one calls a plugin for many pods at once: NRI itself calls for one after another.
"""

import itertools
import socket
import struct
import threading
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from pathlib import Path

from mnp_core.testing.conformance.gate import Start
from mnp_nri.messages import MESSAGES

PLUGIN, RUNTIME = 1, 2
SECONDS = 10
TAKING_IN = 1  # seconds that events wait for a plugin that is taken in, as behind the runtime's lock


class CallError(Exception):
    """The plugin answers with an error status."""


class Plugin:
    """A connected plugin: the runtime's end of it."""

    def __init__(self, runtime, connected):
        self.runtime, self.socket = runtime, connected
        self.sending, self.numbers, self.waiting = threading.Lock(), itertools.count(1, 2), {}
        self.registered, self.synchronized, self.closed = Future(), threading.Event(), threading.Event()
        self.configuration = None
        for work in (self.read, self.take_in):
            threading.Thread(target=work, daemon=True).start()

    def read(self):
        streams = {PLUGIN: bytearray(), RUNTIME: bytearray()}
        with suppress(OSError), self.socket.makefile("rb") as file:
            while len(header := file.read(8)) == 8:
                number, length = struct.unpack(">II", header)
                assert length <= 4096, "Go's reader has no room for such a frame"
                stream = streams[number]
                stream += file.read(length)
                while len(stream) >= 10 and len(stream) >= 10 + int.from_bytes(stream[:4], "big"):
                    size, identity, kind, _ = struct.unpack(">IIBB", stream[:10])
                    payload = bytes(stream[10 : 10 + size])
                    del stream[: 10 + size]
                    self.take(number, identity, kind, payload)
        self.close()

    def take(self, number, identity, kind, payload):
        if (number, kind) == (RUNTIME, 1):
            request = MESSAGES["Request"].FromString(payload)
            assert (request.service, request.method) == ("nri.pkg.api.v1alpha1.Runtime", "RegisterPlugin")
            refusal = self.runtime.refusal
            status = {"code": 2, "message": refusal} if refusal else {}
            self.send(RUNTIME, identity, 2, MESSAGES["Response"](status=status).SerializeToString())
            if refusal:
                self.close()
            else:
                self.registered.set_result(MESSAGES["RegisterPluginRequest"].FromString(request.payload))
        elif (number, kind) == (PLUGIN, 2):
            waiting = self.waiting.pop(identity, None)
            if waiting is not None:
                waiting.set_result(MESSAGES["Response"].FromString(payload))

    def take_in(self):
        """Configure and synchronize, as the runtime does after a registration."""
        with suppress(Exception):
            self.registered.result(SECONDS)
            timeout = int(self.runtime.timeout * 1000) if self.runtime.tells_timeout else 0
            asked = MESSAGES["ConfigureRequest"](runtime_name="standin", request_timeout=timeout)
            self.configuration = MESSAGES["ConfigureResponse"].FromString(self.call("Configure", asked))
            for part in self.runtime.parts():
                answer = self.call("Synchronize", part)
                assert MESSAGES["SynchronizeResponse"].FromString(answer).more == part.more
            self.synchronized.set()
            return
        self.close()

    def call(self, method, argument, service="nri.pkg.api.v1alpha1.Plugin"):
        return self.send_call(method, argument.SerializeToString(), service)

    def send_call(self, method, payload, service="nri.pkg.api.v1alpha1.Plugin"):
        answer = Future()
        with self.sending:
            identity = next(self.numbers)
            self.waiting[identity] = answer
        request = MESSAGES["Request"](service=service, method=method, payload=payload)
        self.send(PLUGIN, identity, 1, request.SerializeToString())
        if self.closed.is_set():
            raise ConnectionError
        response = answer.result(self.runtime.timeout)
        if response is None:
            raise ConnectionError
        if response.status.code:
            raise CallError(f"rpc error: code = {response.status.code} desc = {response.status.message}")
        return response.payload

    def send(self, number, identity, kind, payload):
        data = struct.pack(">IIBB", len(payload), identity, kind, 0) + payload
        with self.sending:
            for start in range(0, len(data), 1000):  # in pieces, as Go's buffered writer does
                piece = data[start : start + 1000]
                self.socket.sendall(struct.pack(">II", number, len(piece)) + piece)

    def close(self):
        self.closed.set()
        for identity in list(self.waiting):
            if (waiting := self.waiting.pop(identity, None)) is not None:
                waiting.set_result(None)
        if not self.registered.done():
            self.registered.set_exception(ConnectionError())
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()


class Runtime:
    """Starts pods, and asks the plugin that is connected; without one it starts them all the same."""

    def __init__(self, path, *, timeout=10.0, tells_timeout=True, old=False):
        self.path, self.timeout, self.tells_timeout, self.old = str(path), timeout, tells_timeout, old
        self.refusal, self.pods, self.per_part = "", [], 100
        self.plugin, self.registrations = None, 0
        self.listener = None
        self.listen()

    def listen(self):
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(self.path)
        self.listener.listen()
        self.accepting = threading.Thread(target=self.accept, args=(self.listener,), daemon=True)
        self.accepting.start()

    def accept(self, listener):
        with suppress(OSError):
            while True:
                connected, _ = listener.accept()
                self.registrations += 1
                self.plugin = Plugin(self, connected)

    def stop_listening(self):
        with suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.accepting.join(SECONDS)
        if self.plugin is not None:
            self.plugin.close()
        Path(self.path).unlink(missing_ok=True)

    @contextmanager
    def outage(self):
        self.stop_listening()
        try:
            yield
        finally:
            self.listen()

    def parts(self):
        """The list of pods in messages of limited size."""
        starts = range(0, max(len(self.pods), 1), self.per_part)
        parts = [self.pods[start : start + self.per_part] for start in starts]
        for number, pods in enumerate(parts, 1):
            yield MESSAGES["SynchronizeRequest"](pods=pods, more=number < len(parts))

    def event(self, number, method, pod):
        """A pod event, as a method of its own or, before NRI 0.12, as StateChange."""
        plugin = self.plugin
        if plugin is None or plugin.closed.is_set() or not plugin.synchronized.wait(TAKING_IN):
            return
        try:
            if self.old and method != "CreateContainer":
                plugin.call("StateChange", MESSAGES["StateChangeEvent"](event=number, pod=pod))
            else:
                plugin.call(method, MESSAGES["PodRequest"](pod=pod))
        except (OSError, TimeoutError):
            plugin.close()  # and the pod starts

    def run(self, pod):
        try:
            self.event(1, "RunPodSandbox", pod)
            self.event(4, "CreateContainer", pod)
        except CallError as error:
            self.end(pod)
            return Start(admitted=False, reason=f"NRI RunPodSandbox failed: {error}")
        return Start(admitted=True)

    def end(self, pod):
        with suppress(CallError):
            self.event(2, "StopPodSandbox", pod)
        gone = MESSAGES["PodSandbox"]()
        gone.CopyFrom(pod)
        del gone.linux.namespaces[:]
        gone.linux.namespaces.add(type="ipc", path="/proc/7/ns/ipc")
        gone.pid = 0
        with suppress(CallError):
            self.event(3, "RemovePodSandbox", gone)

    def start(self, start):
        """The kit's way to start a pod."""
        answer = Future()
        try:
            pod = sandbox(start)
        except (ValueError, UnicodeError) as error:
            answer.set_result(Start(admitted=False, reason=f"protobuf cannot carry it: {error}"))
            return answer
        threading.Thread(target=lambda: answer.set_result(self.run(pod)), daemon=True).start()
        return answer

    def stop(self, start):
        self.end(sandbox(start))


def sandbox(start, **changes):
    """A ``PodSandbox`` of a pod."""
    fields = {
        "id": f"sandbox-of-{start.netns}",
        "name": start.pod.name,
        "uid": start.uid,
        "namespace": start.pod.namespace,
        "annotations": {**(start.annotations or {}), "kubernetes.io/config.seen": "2026", "large": "x" * 5000},
        "linux": {"namespaces": [{"type": "ipc", "path": "/proc/7/ns/ipc"}, {"type": "network", "path": start.netns}]},
        "pid": 7,
    }
    return MESSAGES["PodSandbox"](**(fields | changes))
