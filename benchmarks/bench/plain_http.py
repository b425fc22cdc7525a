"""Requests to the test bed's API server as they are: bytes, and nothing done with them."""

import http.client
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import urlencode, urlsplit

from mnp_core.kubeapi.credentials import Kubeconfig
from scripts.testbed import daemon, place


class Answer:
    """An answer that is read, or read line by line on another thread."""

    def __init__(self, connection: http.client.HTTPSConnection, response: http.client.HTTPResponse) -> None:
        self._connection, self._response = connection, response
        self._socket = connection.sock

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._response)

    def read(self) -> bytes:
        """All of it."""
        return self._response.read()

    def hang_up(self) -> None:
        """End it while another thread reads."""
        socket.socket.shutdown(self._socket, socket.SHUT_RDWR)


@contextmanager
def answer(path: str, params: Mapping[str, str], accept: str) -> Iterator[Answer]:
    """The answer to a GET; raises RuntimeError if it is a refusal."""
    access = Kubeconfig(str(place.KUBECONFIG), None).access()
    server = urlsplit(access.server)
    context = ssl.create_default_context(cafile=access.authority)
    context.load_cert_chain(access.certificate, access.key or None)
    connection = http.client.HTTPSConnection(server.hostname or "", server.port, context=context, timeout=60)
    with closing(connection):
        connection.request("GET", f"{path}?{urlencode(params)}", headers={"Accept": accept})
        response = connection.getresponse()
        if response.status != http.client.OK:
            raise RuntimeError(f"{path}: {response.status}: {response.read()[:300]!r}")
        yield Answer(connection, response)


def seconds_of_api_server() -> float:
    """Processor time of the API server until now, by its threads' run times (schedstat)."""
    pid = daemon.pid_of("kube-apiserver")
    return sum(_nanoseconds(each) for each in Path(f"/proc/{pid}/task").iterdir()) / 1e9


def _nanoseconds(task: Path) -> int:
    try:
        return int((task / "schedstat").read_text().split()[0])
    except FileNotFoundError:
        return 0
