"""Every network namespace of this machine, known to a runtime or not: for a complete cleanup."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from mnp_core.api import Sandbox
from mnp_core.errors import SandboxNotFoundError, UnsupportedError
from mnp_core.sandbox.netns import Identity, identify, is_hosts_own

_NAMED = ("run/netns", "var/run/netns", "run/docker/netns")  # where runtimes and `ip netns` keep them, ip-netns(8)


def list_sandboxes(host_prefix: str, unseen: Callable[[UnsupportedError], None]) -> Iterator[Sandbox]:
    """Network namespaces that a process is in, or that have a name, each once; never the host's.

    Args:
        host_prefix: Where the host's file system is mounted; may be empty.
        unseen: Called for each namespace that this process may not look at.
    """
    seen: set[Identity] = set()
    for path in _paths(Path(host_prefix or "/")):
        try:
            sandbox = identify(path)
        except SandboxNotFoundError:  # it has gone meanwhile, or was no namespace
            continue
        except UnsupportedError as error:
            unseen(error)
            continue
        identity = sandbox.device, sandbox.inode
        if identity not in seen and not is_hosts_own(sandbox):
            seen.add(identity)
            yield sandbox


def _paths(root: Path) -> Iterator[str]:
    for folder in _NAMED:
        yield from sorted(str(path) for path in _entries(root / folder))
    yield from (str(path / "ns/net") for path in _entries(root / "proc") if path.name.isdecimal())


def _entries(folder: Path) -> list[Path]:
    try:
        return [folder / name for name in os.listdir(folder)]  # noqa: PTH208 # a folder that is not there is empty
    except OSError:
        return []
