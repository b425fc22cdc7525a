"""Labs that outlive the command which made them: a directory each, with the manifests and the pinned namespaces.

The directory is also the lock: a process that changes or reads the lab holds it (flock(2)), and loses it when it
dies. A directory without a state is half-built or half-removed, hence rubbish, once its lock is free.
"""

import fcntl
import json
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from ipaddress import ip_interface
from pathlib import Path
from typing import Any

from attrs import field, frozen

from mnp_core.errors import InputError, UnsupportedError
from mnp_core.model import ObjectName
from mnp_core.sandbox.created import unpin
from mnp_core.sources.manifests import Document
from mnp_lab.namespaces import PinnedNamespaces
from mnp_lab.topology import LeaseKey, Leases

_NAME = re.compile(r"[a-z0-9]([-a-z0-9_.]{0,61}[a-z0-9])?")
_STATE = "state.json"
_VERSION = 1
_PATIENCE = 0.02  # seconds between attempts to lock


@frozen(kw_only=True)
class LabState:
    """The recorded state of a lab.

    Attributes:
        documents: The manifests, unchanged.
        leases: Assigned addresses.
        options: The choice of enforcement, for the next `open`; not interpreted here.
        unfinished: Pods of a change that was started but not reported done: they are in no known state.
        serial: Grows with every change.
    """

    documents: tuple[Document, ...]
    leases: Leases
    options: Mapping[str, str] = field(factory=dict)
    unfinished: frozenset[ObjectName] = frozenset()
    serial: int = 0


class LabDirectory:
    """The place of one lab."""

    def __init__(self, name: str, run_dir: Path | None = None) -> None:
        """Name the place; nothing is made or looked at yet.

        Args:
            name: Of the lab.
            run_dir: Where labs are kept; by default ``MNP_RUN_DIR``, else ``/run/mnp``.

        Raises:
            InputError: The name cannot be one.
        """
        if not _NAME.fullmatch(name):
            raise InputError(
                f"{name[:80]!r} is not a name for a lab: up to 63 lower case letters, digits, '-', '_', '.'"
            )
        self.name = name
        self.path = _labs(run_dir) / name
        self.namespaces = PinnedNamespaces(self.path)

    @contextmanager
    def locked(self, *, create: bool = False, checkpoint: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Lock the lab, waiting for the lock. A lab without a state at the end is removed.

        Args:
            create: Make the directory if it is not there.
            checkpoint: Called now and then while waiting; may raise to give up.

        Raises:
            InputError: There is no such lab.
            UnsupportedError: This process may not write there.
        """
        descriptor = self._lock(create, checkpoint)
        try:
            yield
        finally:
            try:
                if not self.exists():
                    self.clear()
                    self.path.rmdir()
            finally:
                os.close(descriptor)

    def exists(self) -> bool:
        """Whether it is the directory of a lab, and not of a part of one."""
        return (self.path / _STATE).exists()

    def read(self) -> LabState | None:
        """The recorded state; None if the lab is missing or incomplete.

        Raises:
            InputError: The state cannot be decoded.
        """
        try:
            return _decode(json.loads((self.path / _STATE).read_text()))
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as error:
            remedy = f"take it down with: mnp lab down --name {self.name}"
            raise InputError(
                f"the state of the lab cannot be read ({error!r}): {remedy}", where=str(self.path)
            ) from error

    def write(self, state: LabState) -> None:
        """Remember, in one atomic step."""
        draft = self.path / f"{_STATE}.new"
        draft.write_text(json.dumps(_encode(state), default=str))  # YAML has dates, JSON does not
        draft.replace(self.path / _STATE)

    def clear(self) -> None:
        """Remove all files of the lab. The state goes first, so that an interrupted removal leaves no lab."""
        for name in (_STATE, f"{_STATE}.new"):
            (self.path / name).unlink(missing_ok=True)
        for parent, directories, files in os.walk(self.path, topdown=False):
            for name in files:
                unpin(Path(parent, name))
            for name in directories:
                Path(parent, name).rmdir()

    def _lock(self, create: bool, checkpoint: Callable[[], None]) -> int:  # noqa: FBT001 # handed on
        while True:
            descriptor = self._open(create=create)
            try:
                if self._is(descriptor) and _taken(descriptor):
                    if self._is(descriptor):  # else it was removed between the two
                        return descriptor
                else:
                    time.sleep(_PATIENCE)
                checkpoint()
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)

    def _open(self, *, create: bool) -> int:
        try:
            if create:
                self.path.mkdir(mode=0o755, parents=True, exist_ok=True)
            return os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError as error:
            raise InputError(
                f"there is no lab {self.name!r}: make one with mnp lab up PATH --name {self.name}"
            ) from error
        except PermissionError as error:
            raise UnsupportedError(
                f"labs are kept in {self.path.parent}, where only root may write: use sudo"
            ) from error

    def _is(self, descriptor: int) -> bool:
        try:
            return os.path.samestat(os.fstat(descriptor), self.path.stat())
        except FileNotFoundError:
            return False


def _taken(descriptor: int) -> bool:
    """Try to lock; in vain while another process has it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def lab_names(run_dir: Path | None = None) -> tuple[str, ...]:
    """All labs, in any state."""
    labs = _labs(run_dir)
    if not labs.is_dir():
        return ()
    return tuple(sorted(path.name for path in labs.iterdir() if path.is_dir() and _NAME.fullmatch(path.name)))


def _labs(run_dir: Path | None) -> Path:
    return Path(run_dir or os.environ.get("MNP_RUN_DIR") or "/run/mnp") / "labs"


def _encode(state: LabState) -> dict[str, object]:
    return {
        "version": _VERSION,
        "serial": state.serial,
        "documents": [{"where": document.where, "raw": document.raw} for document in state.documents],
        "leases": [
            [
                key.pod.namespace,
                key.pod.name,
                key.interface,
                key.network.namespace,
                key.network.name,
                [*map(str, given)],
            ]
            for key, given in state.leases.items()
        ],
        "options": dict(state.options),
        "unfinished": [[pod.namespace, pod.name] for pod in sorted(state.unfinished)],
    }


def _decode(raw: Any) -> LabState:
    if raw["version"] != _VERSION:
        raise ValueError(f"version {raw['version']} is not {_VERSION}")
    return LabState(
        serial=raw["serial"],
        documents=tuple(Document(where=each["where"], raw=each["raw"]) for each in raw["documents"]),
        leases={
            LeaseKey(ObjectName(namespace, name), interface, ObjectName(owner, network)): tuple(
                map(ip_interface, given)
            )
            for namespace, name, interface, owner, network, given in raw["leases"]
        },
        options=raw["options"],
        unfinished=frozenset(ObjectName(*name) for name in raw["unfinished"]),
    )
