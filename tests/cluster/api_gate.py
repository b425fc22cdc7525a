"""A proxy to a server that can be shut: connections break, and new ones are refused until it is opened again."""

import socket
import threading
from contextlib import suppress


class ApiGate:
    """Listens on a port of loopback, and hands everything to another. A context manager; open at first."""

    def __init__(self, port, host="127.0.0.1", *, listen=None):
        """Prepare a way to a port of an address of loopback; `listen`: not on another port of the same address."""
        self._target = host, port
        self._lock = threading.Lock()
        self._open = True
        self._sockets = []
        self._threads = []
        self._listener = socket.create_server(listen or (host, 0))
        self.url = f"https://{host}:{self._listener.getsockname()[1]}"

    def __enter__(self):
        self._start(self._accept)
        return self

    def __exit__(self, *_):
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self.shut()
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def shut(self):
        with self._lock:
            self._open = False
            for each in self._sockets:
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)

    def open(self):
        self._open = True

    def _start(self, target, *args):
        self._threads.append(threading.Thread(target=target, args=args))
        self._threads[-1].start()

    def _accept(self):
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._serve(client)

    def _serve(self, client):
        with self._lock:
            if not self._open:
                client.close()
                return
            try:
                server = socket.create_connection(self._target)
            except OSError:
                client.close()
                return
            self._sockets += [client, server]
            self._start(self._pass_on, client, server)

    def _pass_on(self, client, server):
        """Both ways; closes them when both have ended."""
        back = threading.Thread(target=_copy, args=(server, client))
        back.start()
        _copy(client, server)
        back.join()
        with self._lock:
            self._sockets.remove(client)
            self._sockets.remove(server)
            client.close()
            server.close()


def _copy(source, target):
    with suppress(OSError):
        while block := source.recv(65536):
            target.sendall(block)
    for each in (source, target):
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
