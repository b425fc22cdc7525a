"""Finds the programs that a bed is made of: those of the user, else Debian's, else those that the build has made."""

import os
import re
import shutil
from functools import cache
from pathlib import Path

from scripts.testbed import place
from scripts.testbed.command import run
from scripts.testbed.errors import TestBedError
from scripts.testbed.kind import chosen

_BUILD_PATIENCE = 5400
_PACKAGED = frozenset({"etcdctl"})
_PACKAGED_FOR_1_20 = frozenset({"etcd", "containerd", "containerd-shim-runc-v2", "ctr", "runc"})
_PARTS = {
    "containerd": "containerd",
    "containerd-shim-runc-v2": "containerd",
    "ctr": "containerd",
    "runc": "runc",
    "crio": "crio",
    "pinns": "crio",
}
"""Which part holds a program; all others are of Kubernetes'."""


def find(name: str) -> Path:
    """A program: from KUBEBUILDER_ASSETS if there, else the one of the bed's kind, built (and cached) if need be.

    Raises:
        TestBedError: KUBEBUILDER_ASSETS is set and holds none of etcd, kube-apiserver; or it cannot be built.
    """
    return _outside(name) or part(_part_of(name)) / name


def find_present(name: str) -> Path | None:
    """The same, without a build: None if it is missing."""
    try:
        program = _outside(name) or Path(_build("--where", _part_of(name))) / name
    except TestBedError:
        return None
    return program if program.exists() else None


def _outside(name: str) -> Path | None:
    """A program that the user has brought along, or one of a Debian package."""
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    if assets and (Path(assets) / name).exists():
        return Path(assets) / name
    if assets and name in ("etcd", "kube-apiserver"):
        raise TestBedError(f"KUBEBUILDER_ASSETS={assets}: holds no {name}; unset it, or name a folder that has one")
    packaged = name in _PACKAGED or (chosen().packaged and name in _PACKAGED_FOR_1_20)
    return Path(shutil.which(name) or f"/usr/bin/{name}") if packaged else None


def _part_of(name: str) -> str:
    return _PARTS.get(name, chosen().kubernetes)


def plugin_folder() -> Path:
    """Where the CNI plugins of the reference set are."""
    return Path("/usr/lib/cni") if chosen().packaged else part("cni")


def cni_plugins() -> tuple[Path, ...]:
    """The CNI plugins, Multus and whereabouts where the bed has it included."""
    folders = [plugin_folder()] if chosen().packaged else [plugin_folder(), part("whereabouts")]
    return (
        *(plugin for folder in folders for plugin in folder.iterdir() if plugin.is_file()),
        part("multus") / "multus",
    )


@cache
def part(name: str) -> Path:
    """The folder of a part, see scripts/testbed/build."""
    return Path(_build(name))


def _build(*arguments: str) -> str:
    return run(place.SOURCES / "build", *arguments, patience=_BUILD_PATIENCE).decode().strip()


@cache
def minor_version(program: Path) -> int:
    """The y of Kubernetes 1.y."""
    said = run(program, "--version").decode()
    match = re.search(r"v1\.(\d+)", said)
    if match is None:
        raise TestBedError(f"{program} --version says {said!r}, which is no version of Kubernetes 1")
    return int(match[1])
