"""Find a pod's network namespace by its processes, with any runtime.

For runtimes that do not report a sandbox's location. Of a pod's processes those in the host's namespace do not count: a
runtime may put its own monitor (conmon, a shim) into the pod's control group, and a container is there for a moment
before it enters the sandbox. Of the others the oldest one counts: it is the sandbox's own (pause) where the runtime has
such a process, and no process in the pod is older. A later move of a pod's process to another namespace has no effect.
"""

import re
import time
from collections.abc import Mapping, Sequence
from typing import Final

from mnp_core.api import Sandbox
from mnp_core.errors import SandboxNotFoundError
from mnp_core.model import Pod
from mnp_core.sandbox.host import HostFilesystem, host_filesystem
from mnp_core.sandbox.netns import identify
from mnp_core.sandbox.proc.index import Process, ProcessIndex

_FRESH: Final = 0.25  # seconds; many pods are looked up at once, and a lookup that is too early is retried
_UID: Final = re.compile(r"[0-9A-Za-z-]{1,253}")


class ProcLocator:
    """A `mnp_core.api.SandboxLocator` over ``/proc/*/cgroup``. Thread safe."""

    def __init__(self, host: HostFilesystem = HostFilesystem()) -> None:  # noqa: B008 # frozen
        """Make a locator; it reads ``/proc`` at the first query.

        Args:
            host: The host; its processes have to be seen (``hostPID``, or its ``/proc`` under the prefix).
        """
        self._host = host
        self._index = ProcessIndex(host.proc)

    def locate(self, pod: Pod) -> Sandbox:
        """Find it.

        Raises:
            SandboxNotFoundError: The pod has no process outside of the host's namespace (yet).
            SandboxError: There is no procfs.
            UnsupportedError: This process may not look at the namespaces of others.
        """
        uid = _uid(pod)
        asked = time.monotonic()
        processes = self._index.processes(uid, since=asked - _FRESH)
        sandbox = self._first(processes)
        if sandbox is None and processes:  # they have ended since
            processes = self._index.processes(uid, since=asked)
            sandbox = self._first(processes)
        if sandbox is None:
            raise SandboxNotFoundError(f"pod {pod.name}: {self._absence(uid, processes)}")
        return sandbox

    def _first(self, processes: Sequence[Process]) -> Sandbox | None:
        for process in processes:
            try:
                sandbox = identify(self._host.namespace_of(process.pid))
            except SandboxNotFoundError:
                continue
            if self._index.still(process) and not self._host.owns(sandbox):
                return sandbox
        return None

    def _absence(self, uid: str, processes: Sequence[Process]) -> str:
        if processes:
            return f"none of its {len(processes)} processes is in a network namespace of its own (yet)"
        return f"no process under {self._host.proc} is in a control group of pod {uid} (yet)"


def make_proc_locator(settings: Mapping[str, str]) -> ProcLocator:
    """Make a locator from the settings.

    Args:
        settings: ``host-prefix``, which may be left out.

    Raises:
        InputError: It is invalid.
    """
    return ProcLocator(host_filesystem(settings))


def _uid(pod: Pod) -> str:
    """A control group contains only a UID, so the UID that a mirror pod claims is not enough."""
    if pod.static_uid:
        raise SandboxNotFoundError(
            f"pod {pod.name}: it mirrors a static pod, which control groups do not identify:  use the locator 'cri'"
        )
    if not _UID.fullmatch(pod.uid):
        raise SandboxNotFoundError(f"pod {pod.name!s:.200}: no control group has {pod.uid!r:.80} as UID")
    return pod.uid
