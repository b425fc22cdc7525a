"""Modules of the kernel, for probes that must not load any: a request to a subsystem may load it."""

import os
from pathlib import Path

from mnp_core.errors import UnsupportedError

_LOADED = Path("/proc/modules")


def require(name: str) -> None:
    """Make sure that a request to a subsystem loads no module.

    Where this cannot be known (a container that does not see the modules of its node) the request has to be made.

    Raises:
        UnsupportedError: The module is not loaded.
    """
    built_in = Path("/lib/modules", os.uname().release, "modules.builtin")
    if not _LOADED.exists() or not built_in.exists():
        return
    loaded = {line.partition(" ")[0] for line in _LOADED.read_text(encoding="ascii").splitlines()}
    if name not in loaded and f"/{name}.ko" not in built_in.read_text(encoding="ascii"):
        raise UnsupportedError(f"the module {name} is not loaded: modprobe {name}, as root")
