"""The host's files and processes, seen from where this process runs.

In a container the host's file system is often mounted below a directory. Paths there have to be resolved as on the
host: an absolute symbolic link such as ``/var/run -> /run`` leads to the host's ``/run``, never to the container's own.
"""

import os
import re
from collections.abc import Mapping
from typing import Final

from mnp_core.api import Sandbox
from mnp_core.classes import frozen
from mnp_core.errors import InputError, MnpError, SandboxNotFoundError
from mnp_core.sandbox.netns import identify, is_hosts_own

HOST_PREFIX: Final = "host-prefix"
"""The setting that names the directory."""

_MAX_LINKS: Final = 40  # as many as the kernel follows, see path_resolution(7)
_MAGIC: Final = re.compile(r"[a-z_]+:\[\d+\]")  # targets of links in /proc/PID/ns: no paths, see namespaces(7)


@frozen
class HostFilesystem:
    """The host.

    Attributes:
        prefix: The directory where its file system is mounted, without a slash at the end; empty if it is this
            process's own.
    """

    prefix: str = ""

    def path(self, path: str) -> str:
        """The path of a host's file as seen by this process.

        Args:
            path: Absolute, as the host has it. It need not exist.

        Raises:
            SandboxNotFoundError: Its symbolic links lead round in a circle.
        """
        return f"{self.prefix}/{'/'.join(_resolve(self.prefix, path))}" if self.prefix else path

    @property
    def proc(self) -> str:
        """The path of the host's procfs as seen by this process."""
        return f"{self.prefix}/proc"

    def namespace_of(self, pid: int) -> str:
        """The path of the network namespace of a host's process as seen by this process."""
        return f"{self.proc}/{pid}/ns/net"

    def owns(self, sandbox: Sandbox) -> bool:
        """Whether the namespace is the host's own, or that of this process, which may be in a container."""
        return is_hosts_own(sandbox) or (sandbox.device, sandbox.inode) == self._namespace_of_init()

    def _namespace_of_init(self) -> tuple[int, int] | None:
        try:
            init = identify(self.namespace_of(1))
        except MnpError:
            return None  # the prefix has no /proc, or this process may not look
        return init.device, init.inode


def host_filesystem(settings: Mapping[str, str]) -> HostFilesystem:
    """The host as the settings have it.

    Raises:
        InputError: The prefix is not an absolute path.
    """
    prefix = settings.get(HOST_PREFIX, "").rstrip("/")
    if prefix and not prefix.startswith("/"):
        raise InputError(
            f"{prefix!r:.80} is not an absolute path: name the directory where the host's / is mounted, such as /host",
            field=HOST_PREFIX,
        )
    return HostFilesystem(prefix)


def _resolve(root: str, path: str) -> list[str]:
    """Follow symbolic links as if the root were ``/`` (as openat2(2) does with RESOLVE_IN_ROOT, from Linux 5.6)."""
    ahead, found, links = path.split("/")[::-1], list[str](), 0
    while ahead:
        part = ahead.pop()
        if part == "..":
            del found[-1:]
        elif part not in {"", "."}:
            target = _read_link("/".join((root, *found, part)))
            if target is None:
                found.append(part)
                continue
            links += 1
            if links > _MAX_LINKS:
                raise SandboxNotFoundError(f"{path} under {root}: too many symbolic links")
            if target.startswith("/"):
                found.clear()
            ahead += target.split("/")[::-1]
    return found


def _read_link(path: str) -> str | None:
    """The target of a symbolic link; None for any other file, or none."""
    try:
        target = os.readlink(path)  # noqa: PTH115 # a Path would normalise the string
    except (OSError, ValueError):
        return None
    return None if _MAGIC.fullmatch(target) else target
