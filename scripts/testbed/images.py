"""Images without a registry: pause and a workload, made from a static busybox, and those of archives."""

import hashlib
import io
import json
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

from scripts.testbed import place, runtime
from scripts.testbed.command import run
from scripts.testbed.errors import TestBedError

_FOLDERS = ("bin", "etc", "proc", "sys", "dev", "tmp", "root", "var")
_FILES = {"etc/passwd": "root:x:0:0:root:/root:/bin/sh\n", "etc/group": "root:x:0:\n"}
_ENVIRONMENT = ["PATH=/bin"]
_COMMAND = [
    "/bin/sh",
    "-c",
    "trap exit TERM INT; sleep 1000000000 & wait",
]  # the first process of a container is deaf to signals
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def import_basics() -> None:
    """Give the runtime the images for pause and workload unless it has them."""
    import_workload(place.PAUSE_IMAGE, place.WORKLOAD_IMAGE)


def import_workload(*names: str) -> None:
    """Give the runtime the image for workloads under other names unless it has them."""
    if not set(names) <= runtime.chosen().images():
        archive = place.ROOT / "workload.tar"
        write_archive(archive, names)
        import_archive(archive)
        archive.unlink()


def import_archive(archive: Path, *, name: str = "") -> None:
    """Import the images of an archive into the runtime, in docker's format or OCI's.

    Args:
        archive: The file.
        name: Name of the image, if the archive holds no full one; else empty.
    """
    runtime.chosen().import_archive(archive, name)


def write_archive(
    target: Path, names: tuple[str, ...], add: Callable[[tarfile.TarFile], None] = lambda _: None
) -> None:
    """One layer with busybox, with a configuration, under several names: the format of `docker save`.

    Args:
        target: The archive.
        names: Of the image.
        add: Adds more to the layer.
    """
    layer = _layer(add)
    config = json.dumps(
        {
            "architecture": _architecture(),
            "os": "linux",
            "config": {"Cmd": _COMMAND, "Env": _ENVIRONMENT},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
        }
    ).encode()
    manifest = json.dumps([{"Config": "config.json", "RepoTags": names, "Layers": ["layer.tar"]}]).encode()
    with tarfile.open(target, "w") as archive:
        for name, content in (("layer.tar", layer), ("config.json", config), ("manifest.json", manifest)):
            _add(archive, name, content)


def _layer(add: Callable[[tarfile.TarFile], None]) -> bytes:
    busybox = shutil.which("busybox")
    if busybox is None:
        raise TestBedError("busybox is not on PATH: install busybox-static")
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as layer:
        for folder in _FOLDERS:
            add_folder(layer, folder)
        _add(layer, "bin/busybox", Path(busybox).read_bytes(), mode=0o755)
        for applet in run(busybox, "--list").decode().split():
            if applet != "busybox":
                add_link(layer, f"bin/{applet}", "busybox")
        for name, text in _FILES.items():
            _add(layer, name, text.encode())
        add(layer)
    return packed.getvalue()


def _add(archive: tarfile.TarFile, name: str, content: bytes, mode: int = 0o644) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), mode
    archive.addfile(entry, io.BytesIO(content))


def add_folder(archive: tarfile.TarFile, name: str) -> None:
    """Add a folder to a layer."""
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if name == "tmp" else 0o755
    archive.addfile(entry)


def add_link(archive: tarfile.TarFile, name: str, target: str) -> None:
    """Add a symbolic link to a layer."""
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = tarfile.SYMTYPE, target
    archive.addfile(entry)


def _architecture() -> str:
    machine = run("uname", "-m").decode().strip()
    return _ARCHITECTURES.get(machine, machine)
