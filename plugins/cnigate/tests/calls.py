"""Calls of the executable, and agents for it to ask."""

import json
import os
import socket
import subprocess
import threading
from contextlib import contextmanager
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

from attrs import define, field

from mnp_core.api import Admission, Decision

PROJECT = Path(__file__).parents[1]
RESULT = (
    b'{ "cniVersion" : "1.0.0",\n\t"interfaces":[{"name":"net1","mac":"02:00:00:00:00:01","sandbox":"/run/netns/x"}],'
    b' "ips":[{"interface":0,"address":"10.0.0.1/24"},{"address":"fd00::1\\u002f64"}], "dns":{}, "x": 1.50e+2,'
    b'"\xc3\xa4\\u00e4":"\\ud83d\\ude00 \\"}" }'
)
"""What must come back byte for byte: spaces, escapes, a number in an odd form."""

POD = "IgnoreUnknown=1;K8S_POD_NAMESPACE=demo;K8S_POD_NAME=web-0;K8S_POD_INFRA_CONTAINER_ID=ab;K8S_POD_UID=11-22"
CALL = {"CNI_CONTAINERID": "ab12", "CNI_NETNS": "/run/netns/x", "CNI_IFNAME": "net1", "CNI_ARGS": POD, "CNI_PATH": "/x"}


def load_build():
    spec = spec_from_file_location("mnp_cnigate_hatch_build", PROJECT / "hatch_build.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@define
class Plugin:
    """The executable with a configuration."""

    path: Path
    socket: Path

    def config(self, version="1.0.0", result=RESULT, **fields):
        """The bytes that libcni sends, with any bytes as prevResult."""
        known = {"cniVersion": version, "name": "data", "type": "mnp-cnigate", "socket": str(self.socket), **fields}
        text = json.dumps({key: value for key, value in known.items() if value is not None}).encode()
        return text if result is None else text[:-1] + b',"prevResult": ' + result + b" }"

    def environment(self, verb, **changes):
        return {k: v for k, v in {**CALL, "CNI_COMMAND": verb, **changes}.items() if v is not None}

    def __call__(self, verb, given=None, environment=(), **fields):
        """Call it; status, standard output as bytes, standard error as text."""
        ended = subprocess.run(
            [self.path],
            input=self.config(**fields) if given is None else given,
            env=self.environment(verb, **dict(environment)),
            capture_output=True,
            check=False,
            timeout=60,
        )
        assert ended.returncode in {0, 1}, ended
        return ended.returncode, ended.stdout, ended.stderr.decode()

    def error(self, *arguments, **fields):
        """Call it; the error that it prints."""
        status, output, _ = self(*arguments, **fields)
        assert status == 1
        error = json.loads(output)
        assert {*error} == {"cniVersion", "code", "msg", "details"}
        return error


IN_FORCE = Decision(admission=Admission.IN_FORCE)


@define
class Keeper:
    """A gatekeeper that gives a preset answer, once `go` is set."""

    decision: Decision = IN_FORCE
    go: threading.Event = field(factory=threading.Event)
    asked: list = field(factory=list)
    ended: list = field(factory=list)
    limit: float | None = None

    def admit(self, start, *, seconds=None):
        self.asked.append((start, seconds))
        self.go.wait(self.limit if self.limit is not None else seconds)
        return self.decision

    def running(self, gate, pods):
        raise AssertionError(gate, pods)  # a CNI plugin does not know them

    def stopped(self, pod, uid, netns=""):
        self.ended.append((pod, uid, netns))


@contextmanager
def agent(path, talk):
    """A program at the socket that treats each connection by `talk`."""
    path.parent.mkdir(exist_ok=True)
    server = socket.socket(socket.AF_UNIX)
    server.bind(os.fspath(path))
    server.listen()

    def serve():
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                talk(connection)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join()
