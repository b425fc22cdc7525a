"""The standard tests of a gate, with the executable on the runtime's side."""

import json
import os
import socket
import threading
from concurrent.futures import Future
from contextlib import contextmanager

import pytest
from attrs import evolve

from mnp_cnigate import CniGate
from mnp_core.testing.conformance import GateConformance
from mnp_core.testing.conformance.gate import Gated, Start

LIMIT = 2


def environment(start):
    pod = f"K8S_POD_NAMESPACE={start.pod.namespace};K8S_POD_NAME={start.pod.name};K8S_POD_UID={start.uid}"
    return {
        "CNI_CONTAINERID": start.netns.rpartition("/")[2],
        "CNI_NETNS": start.netns,
        "CNI_IFNAME": start.interfaces[0].name,
        "CNI_ARGS": pod.replace("\0", "\\0"),  # no environment holds it
    }


def result(start):
    (interface,) = start.interfaces
    made = {"name": interface.name, "mac": interface.mac, "sandbox": start.netns}
    ips = [{"interface": 0, "address": f"{address}/24"} for address in interface.addresses]
    return json.dumps({"cniVersion": "1.0.0", "interfaces": [made], "ips": ips}).encode()


class TestCniGate(GateConformance):
    @pytest.fixture(autouse=True)
    def _plugin(self, plugin, request):
        """These wait for the plugin's limit; to the others a busy machine must not look like it."""
        self.plugin = plugin
        self.seconds = LIMIT if any(word in request.node.name for word in ("no_decision", "closing")) else 60

    def call(self, verb, start):
        (interface,) = start.interfaces
        fields = {"network": interface.network, "seconds": self.seconds, "result": result(start)}
        status, output, _ = self.plugin(verb, environment=environment(start), **fields)
        return Start(admitted=status == 0, reason="" if status == 0 else json.loads(output)["details"])

    def start(self, start):
        """On a thread that ends with the call: threads are counted."""
        ended = Future()
        threading.Thread(target=lambda: ended.set_result(self.call("ADD", start))).start()
        return ended

    @contextmanager
    def outage(self):
        """Another agent has the socket."""
        path = self.plugin.socket
        path.parent.mkdir(exist_ok=True)
        path.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(os.fspath(path))
            other.listen()
            yield
        path.unlink()

    @contextmanager
    def gated(self):
        yield Gated(
            gate=CniGate(self.plugin.socket),
            start=self.start,
            stop=lambda start: self.call("DEL", start),
            outage=self.outage,
            seen=lambda start: evolve(start, annotations=None),
            limit=LIMIT,
        )
