"""Packs the first file system of the virtual machine: the means to see the host's files, and nothing else.

initramfs.py USR INIT OUTPUT

USR is the /usr of the unpacked packages, INIT the script that the kernel runs first.
"""

import lzma
import sys
from collections.abc import Iterator
from pathlib import Path

MODULES = ("virtio_pci", "9p", "9pnet_virtio", "overlay")
DIRECTORIES = ("bin", "dev", "proc", "sys", "lower", "upper", "root", "modules")
DIRECTORY, FILE, DEVICE = 0o040755, 0o100755, 0o020600
CONSOLE = (5, 1)  # Documentation/admin-guide/devices.txt


def entry(name: str, mode: int, data: bytes = b"", device: tuple[int, int] = (0, 0)) -> bytes:
    """One entry of a cpio archive in "newc" format (Documentation/driver-api/early-userspace/buffer-format.rst)."""
    path = name.encode() + b"\0"
    inode, owner, group, links, modified, on = 0, 0, 0, 1, 0, (0, 0)
    fields = (inode, mode, owner, group, links, modified, len(data), *on, *device, len(path), 0)
    header = b"070701" + b"".join(b"%08X" % field for field in fields) + path
    return _padded(header) + _padded(data)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def with_dependencies(folder: Path, names: tuple[str, ...]) -> list[Path]:
    """The files of these modules and of all that they need, in the order in which they can be loaded.

    Modules that are part of the kernel have none.
    """
    builtin = {Path(line).name.partition(".")[0] for line in (folder / "modules.builtin").read_text().splitlines()}
    lines = (folder / "modules.dep").read_text().splitlines()
    needs = {path: rest.split() for path, _, rest in (line.partition(":") for line in lines)}
    path_of = {Path(path).name.partition(".")[0]: path for path in needs}
    chosen: dict[str, None] = {}  # an ordered set
    for name in names:
        if name in builtin:
            continue
        path = path_of[name]
        chosen |= dict.fromkeys([*reversed(needs[path]), path])  # modules.dep lists the deepest need last
    return [folder / path for path in chosen]


def archive(usr: Path, init: Path) -> Iterator[bytes]:
    """All entries. Module files are numbered in the order of loading."""
    (modules,) = (usr / "lib/modules").iterdir()
    for name in DIRECTORIES:
        yield entry(name, DIRECTORY)
    yield entry("dev/console", DEVICE, device=CONSOLE)
    yield entry("bin/busybox", FILE, (usr / "bin/busybox").read_bytes())
    yield entry("init", FILE, init.read_bytes())
    for number, path in enumerate(with_dependencies(modules, MODULES)):
        data = path.read_bytes()
        yield entry(f"modules/{number:02}-{path.name}", FILE, lzma.decompress(data) if path.suffix == ".xz" else data)
    yield entry("TRAILER!!!", 0)


if __name__ == "__main__":
    usr, init, output = map(Path, sys.argv[1:])
    output.write_bytes(b"".join(archive(usr, init)))
