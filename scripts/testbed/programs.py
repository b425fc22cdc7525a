"""Finds the programs of Kubernetes: those of the user, else those that the build has made."""

import os
import re
import shutil
from functools import cache
from pathlib import Path

from scripts.testbed import place
from scripts.testbed.command import run
from scripts.testbed.errors import TestBedError

_BUILD_PATIENCE = 5400


def find(name: str) -> Path:
    """A program: from KUBEBUILDER_ASSETS if it is there, else from PATH (etcd), else built (and cached).

    Raises:
        TestBedError: KUBEBUILDER_ASSETS is set and holds none of etcd, kube-apiserver; or it cannot be built.
    """
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    if assets and (Path(assets) / name).exists():
        return Path(assets) / name
    if assets and name in ("etcd", "kube-apiserver"):
        raise TestBedError(f"KUBEBUILDER_ASSETS={assets}: holds no {name}; unset it, or name a folder that has one")
    if name == "etcd":
        return Path(shutil.which("etcd") or "/usr/bin/etcd")
    return _built() / name


@cache
def minor_version(program: Path) -> int:
    """The y of Kubernetes 1.y."""
    said = run(program, "--version").decode()
    match = re.search(r"v1\.(\d+)", said)
    if match is None:
        raise TestBedError(f"{program} --version says {said!r}, which is no version of Kubernetes 1")
    return int(match[1])


@cache
def _built() -> Path:
    return Path(run(place.SOURCES / "build", patience=_BUILD_PATIENCE).decode().strip())
