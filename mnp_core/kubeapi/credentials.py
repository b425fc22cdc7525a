"""Where the API server is, how it is known, and who we are to it.

In a cluster these are two files and two variables; they are read here, since the client library costs 20 MiB of memory
(59 in releases of 2024) and most of a second on every node. A kubeconfig is a format with a history, credential
plugins and all: the library reads it. It is the extra `mnp-core[kubeconfig]`, and is imported only then.
"""

import os
import re
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from mnp_core.classes import frozen
from mnp_core.errors import ApiUnreachableError, InputError, UnsupportedError

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")

_HOST = re.compile(r"[A-Za-z0-9_.:%-]+")  # a name, or an address of either family

_MAX_BYTES = 8 * 1024 * 1024  # of a kubeconfig

_RENEW_EVERY = 10.0  # seconds at least between two readings of a kubeconfig: each may run a program


@frozen(kw_only=True)
class Access:
    """How to reach the server. Files are read anew for each connection, so that rotation is followed.

    Attributes:
        server: URL, with a path if the API is not at the root.
        authority: File with the certificates that are trusted; empty for those of the system.
        verify: Whether the server's certificate is verified.
        server_name: Expected name in the certificate, if not the server's host.
        certificate: File with a client certificate; empty for none.
        key: File with its key; empty if it is in the same file.
        proxy: URL of a proxy; empty: that of the environment.
    """

    server: str
    authority: str = ""
    verify: bool = True
    server_name: str = ""
    certificate: str = ""
    key: str = ""
    proxy: str = ""


def check_server(url: str, where: str) -> str:
    """Make sure that a server can be asked at a URL at all.

    Args:
        url: Its URL.
        where: Its place, for the message.

    Raises:
        InputError: It is not the URL of a server.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise InputError(f"{url[:80]!r} is not the URL of a server ({error})", where=where) from None
    if parts.scheme not in {"http", "https"} or not parts.hostname or port == 0 or not _HOST.fullmatch(parts.hostname):
        raise InputError(f"{url[:80]!r} is not the URL of a server: write https://HOST:PORT", where=where)
    return url


class Login(Protocol):
    """Credentials that may change while they are used. Safe to be used on many threads."""

    def access(self) -> Access:
        """How to reach the server now."""

    def authorization(self) -> str:
        """The header ``Authorization`` for the next request; empty for none."""

    def renew(self) -> None:
        """The server did not accept it (401): look for something newer."""


@frozen
class Anonymous:
    """No credentials, for a server that is named and nothing else: a proxy of kubectl, a test."""

    server: str

    def access(self) -> Access:
        """The server."""
        return Access(server=self.server)

    def authorization(self) -> str:
        """None."""
        return ""

    def renew(self) -> None:
        """There is nothing to look for."""


@frozen(kw_only=True)
class InCluster:
    """The service account of this pod. Its token is replaced by the kubelet, and so read for each request.

    Attributes:
        server: URL.
        folder: Where the kubelet mounts token and CA.
    """

    server: str
    folder: Path = SERVICE_ACCOUNT

    @classmethod
    def find(cls, folder: Path = SERVICE_ACCOUNT) -> "InCluster":
        """The one named by the environment.

        Raises:
            InputError: This process does not run in a pod, or in one without a service account.
        """
        host, port = os.environ.get("KUBERNETES_SERVICE_HOST"), os.environ.get("KUBERNETES_SERVICE_PORT")
        if not host or not port:
            raise InputError("this is not a pod of a cluster: name a kubeconfig (--kubeconfig)")
        if not (folder / "token").is_file():
            message = "there is no token: set automountServiceAccountToken, or name a kubeconfig (--kubeconfig)"
            raise InputError(message, where=str(folder))
        return cls(server=f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}", folder=folder)

    def access(self) -> Access:
        """The server, and the cluster's CA."""
        return Access(server=self.server, authority=str(self.folder / "ca.crt"))

    def authorization(self) -> str:
        """The token as it is now."""
        try:
            return f"Bearer {(self.folder / 'token').read_text().strip()}"
        except (OSError, UnicodeError) as error:
            raise ApiUnreachableError(f"the service account's token cannot be read: {error}") from None

    def renew(self) -> None:
        """It is read each time."""


def _check_file(path: str) -> None:
    """Refuse a file that never ends, or can be read only once; an unreadable one is left to the library."""
    file = Path(path).expanduser()
    if file.is_fifo():
        raise InputError("is a pipe, and has to be read more than once: name a file", where=path)
    with suppress(OSError), file.open("rb") as stream:
        if len(stream.read(_MAX_BYTES + 1)) > _MAX_BYTES:
            raise InputError(f"is larger than {_MAX_BYTES // 2**20} MiB: name a kubeconfig", where=path)


def _is_missing(path: str) -> bool:
    try:
        Path(path).expanduser().stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except (OSError, RuntimeError, ValueError):  # the library says why
        return False
    return False


def context_namespace(path: str, context: str | None = None) -> str | None:
    """The namespace of a context of a kubeconfig; None if it names none, or there is no such context.

    Args:
        path: As for `Kubeconfig`, which judges the file.
        context: Name of the context; None for the current one.
    """
    try:
        from kubernetes.config import list_kube_config_contexts  # noqa: PLC0415 # see the head of this file

        contexts, current = list_kube_config_contexts(path)  # type: ignore[no-untyped-call] # the library has no types here
    except Exception:  # noqa: BLE001 # the library lets errors of any type through
        return None
    chosen = current if context is None else next((each for each in contexts if each["name"] == context), None)
    found = (chosen or {}).get("context", {}).get("namespace")
    return found if isinstance(found, str) and found else None


class Kubeconfig:
    """A context of a kubeconfig: tokens, client certificates, credential plugins, read by the client library."""

    def __init__(self, path: str, context: str | None = None) -> None:
        """Read it.

        Args:
            path: The file, or several with colons between them; the first that names something counts.
            context: Name of the context; None for the current one.

        Raises:
            InputError: It cannot be read, or has no such context.
            UnsupportedError: The extra `mnp-core[kubeconfig]` is not installed.
        """
        self._path, self._context = path, context
        self._lock = threading.Lock()
        self._read()

    def _read(self) -> None:
        try:
            from kubernetes.client import Configuration  # noqa: PLC0415 # see the head of this file
            from kubernetes.config import ConfigException, load_kube_config  # noqa: PLC0415 # likewise
        except ImportError as error:
            message = f"cannot be read without the Kubernetes client ({error}): pip install 'mnp-core[kubeconfig]'"
            raise UnsupportedError(f"{self._path}: {message}") from None

        paths = [path for path in self._path.split(os.pathsep) if path]
        for path in paths:
            _check_file(path)  # the library reads a file of any size
        if all(map(_is_missing, paths)):
            raise InputError("there is no such file: name a kubeconfig", where=self._path)
        configuration = Configuration()
        configuration.proxy = None  # the environment's is not for every server
        try:
            load_kube_config(self._path, self._context, configuration, persist_config=False)  # type: ignore[no-untyped-call] # the library has no types here
        except ConfigException as error:
            raise InputError(f"cannot be used: {error}", where=self._path) from None
        except Exception as error:  # noqa: BLE001 # the library lets errors of any type through
            message = f"is not a kubeconfig ({type(error).__name__}: {error!s:.200})"
            raise InputError(message, where=self._path) from None
        check_server(configuration.host, self._path)
        self._configuration, self._read_at = configuration, time.monotonic()

    def access(self) -> Access:
        """Credentials of the context's cluster and user."""
        known = self._configuration
        return Access(
            server=known.host,
            authority=known.ssl_ca_cert or "",
            verify=known.verify_ssl,
            server_name=known.tls_server_name or "",
            certificate=known.cert_file or "",
            key=known.key_file or "",
            proxy=known.proxy or "",
        )

    def authorization(self) -> str:
        """The token; one with a known end is renewed before it (the library calls the plugin again)."""
        with self._lock:
            return self._configuration.get_api_key_with_prefix("BearerToken") or ""

    def renew(self) -> None:
        """Read the file again, and ask credential plugins again; not more often than every ten seconds."""
        with self._lock:
            if time.monotonic() - self._read_at < _RENEW_EVERY:
                return
            try:
                self._read()
            except InputError as error:
                raise ApiUnreachableError(f"credentials cannot be renewed: {error}") from None
