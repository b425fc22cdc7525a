"""Kubernetes objects of any kind, as `kubectl` handles them: apply, get, patch, delete, wait."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from threading import local
from typing import Any

import yaml

from scripts.testbed.api import APPLY, MERGE, ApiError, Connection
from scripts.testbed.patience import wait_for

Object = dict[str, Any]
_APPLY = {"fieldManager": "mnp-tests", "force": "true"}


class Objects:
    """The objects of the API server. Thread-safe: each thread has a connection of its own."""

    def __init__(self, kubeconfig: Path) -> None:
        self._kubeconfig = kubeconfig
        self._threads = local()
        self._open: list[Connection] = []
        self._resources: dict[tuple[str, str], tuple[str, bool]] = {}

    def apply(self, manifests: str | Path | Mapping[str, Any], namespace: str = "default") -> list[Object]:
        """Create or change objects until they are as the manifests say (server-side apply).

        Args:
            manifests: YAML of one or more documents, a file or folder of it, or one object.
            namespace: For objects that name none.
        """
        return [self._apply(document, namespace) for document in documents(manifests)]

    def create(self, manifest: Mapping[str, Any], namespace: str = "default") -> Object:
        """Create one object. ApiError 409: it is there."""
        path, _ = self._path(manifest, namespace)
        return self.request("POST", path, manifest)

    def get(self, kind: str, name: str, namespace: str = "default") -> Object:
        """One object; `kind` is written ``v1/Pod``, ``apps/v1/DaemonSet``. ApiError 404: there is none."""
        return self.request("GET", self._named(kind, name, namespace))

    def find(self, kind: str, name: str, namespace: str = "default") -> Object | None:
        """One object, or None."""
        try:
            return self.get(kind, name, namespace)
        except ApiError as error:
            if error.code == 404:
                return None
            raise

    def list(self, kind: str, namespace: str | None = None, *, labels: str = "") -> list[Object]:
        """All objects of a kind, in one namespace or everywhere."""
        query = {"labelSelector": labels} if labels else None
        return self.request("GET", self.collection(kind, namespace), query=query)["items"]

    def patch(
        self, kind: str, name: str, patch: Mapping[str, Any], namespace: str = "default", *, part: str = ""
    ) -> Object:
        """Merge into an object, or into a part of it such as ``status``."""
        path = self._named(kind, name, namespace) + (f"/{part}" if part else "")
        return self.request("PATCH", path, patch, content_type=MERGE)

    def delete(
        self, kind: str, name: str, namespace: str = "default", *, grace: int | None = None, wait: bool = True
    ) -> None:
        """Delete an object, and wait until it is gone. A missing object is no error.

        Args:
            kind: As in `get`.
            name: Of the object.
            namespace: Of the object, unless it is of the cluster.
            grace: Seconds that a pod has to end; None means its own grace period.
            wait: Return only when it has gone.
        """
        options = {} if grace is None else {"gracePeriodSeconds": grace}
        try:
            uid = self.request("DELETE", self._named(kind, name, namespace), options).get("metadata", {}).get("uid")
        except ApiError as error:
            if error.code == 404:
                return
            raise
        if wait:
            self.wait_for(f"{kind} {namespace}/{name} is gone", lambda: self._gone(kind, name, namespace, uid))

    def wait_until(
        self,
        kind: str,
        name: str,
        holds: Callable[[Object], object],
        namespace: str = "default",
        *,
        patience: float = 60,
    ) -> Object:
        """Wait until something holds of an object, and return the object."""
        found: list[Object] = []

        def ready() -> object:
            found[:] = [self.get(kind, name, namespace)]
            return holds(found[0])

        self.wait_for(f"{kind} {namespace}/{name}: {getattr(holds, '__name__', 'as wanted')}", ready, patience=patience)
        return found[0]

    @staticmethod
    def wait_for(what: str, ready: Callable[[], object], *, patience: float = 60) -> None:
        """Ask until the answer is true; TestBedError if it is not in time."""
        wait_for(what, ready, patience=patience)

    def request(self, method: str, path: str, body: object = None, **options: Any) -> Object:
        """Send any request to the API server, on this thread's connection."""
        return self.connection().request(method, path, body, **options)

    def connection(self) -> Connection:
        """This thread's."""
        if not hasattr(self._threads, "connection"):
            self._threads.connection = Connection(self._kubeconfig)
            self._open.append(self._threads.connection)
        return self._threads.connection

    def close(self) -> None:
        """Hang up, all threads' connections."""
        for connection in self._open:
            connection.close()

    def collection(self, kind: str, namespace: str | None = None) -> str:
        """The path of all objects of a kind, in one namespace or everywhere."""
        version, _, bare = kind.rpartition("/")
        root = f"/api/{version}" if version == "v1" else f"/apis/{version}"
        plural, namespaced = self._resource(root, bare)
        return f"{root}/namespaces/{namespace}/{plural}" if namespaced and namespace else f"{root}/{plural}"

    def _apply(self, document: Object, namespace: str) -> Object:
        path, name = self._path(document, namespace)
        return self.request("PATCH", f"{path}/{name}", document, query=_APPLY, content_type=APPLY)

    def _path(self, document: Mapping[str, Any], namespace: str) -> tuple[str, str]:
        metadata = document["metadata"]
        kind = f"{document['apiVersion']}/{document['kind']}"
        return self.collection(kind, metadata.get("namespace") or namespace), metadata.get("name", "")

    def _named(self, kind: str, name: str, namespace: str) -> str:
        return f"{self.collection(kind, namespace)}/{name}"

    def _resource(self, root: str, kind: str) -> tuple[str, bool]:
        """How a kind is written in a path, and whether its objects are in namespaces."""
        if (root, kind) not in self._resources:
            for resource in self.request("GET", root)["resources"]:
                if "/" not in resource["name"]:
                    self._resources[root, resource["kind"]] = resource["name"], resource["namespaced"]
        return self._resources[root, kind]

    def _gone(self, kind: str, name: str, namespace: str, uid: str | None) -> bool:
        found = self.find(kind, name, namespace)
        return found is None or (uid is not None and found["metadata"]["uid"] != uid)


def documents(manifests: str | Path | Mapping[str, Any]) -> Iterator[Object]:
    """The objects in manifests, in any form that `apply` takes."""
    if isinstance(manifests, Mapping):
        yield dict(manifests)
    elif isinstance(manifests, Path) and manifests.is_dir():
        for file in sorted((*manifests.glob("*.yml"), *manifests.glob("*.yaml"))):
            yield from documents(file)
    else:
        text = manifests.read_text() if isinstance(manifests, Path) else manifests
        yield from (document for document in yaml.safe_load_all(text) if document)
