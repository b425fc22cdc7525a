"""A virtual machine with a kernel of its own behind a tap: Debian's, under QEMU without KVM, with busybox for a system.

The packages are those of the virtual machine of `make test-vm`. The guest answers pings and HTTP on TCP ports 80 and
81, and "port unreachable" for UDP, as kernels do; a shell on its serial line takes commands.
"""

import lzma
import os
import re
import selectors
import subprocess
import time
from pathlib import Path

from mnp_core.closing import Closing
from scripts.vm import initramfs

VM = Path(__file__).parents[2] / "scripts" / "vm"
DIRECTORIES = ("bin", "dev", "proc", "sys", "modules", "www")
BOOT_SECONDS, COMMAND_SECONDS = 180, 60  # a few seconds each on an idle machine
INIT = """#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
for module in /modules/*; do insmod $module; done
echo 0 >/proc/sys/net/ipv6/conf/eth0/accept_dad
ip link set lo up
ip link set eth0 up
{addresses}
echo here >/www/index.html
for port in 80 81; do httpd -p $port -h /www; done
exec sh </dev/ttyS0 >/dev/ttyS0 2>&1
"""


def make_initramfs(root: Path, addresses) -> bytes:
    """The guest's whole system."""
    (modules,) = (root / "usr/lib/modules").iterdir()
    init = INIT.format(addresses="\n".join(f"ip addr add {address} dev eth0" for address in addresses))
    entries = [
        *(initramfs.entry(name, initramfs.DIRECTORY) for name in DIRECTORIES),
        initramfs.entry("dev/console", initramfs.DEVICE, device=initramfs.CONSOLE),
        initramfs.entry("bin/busybox", initramfs.FILE, (root / "usr/bin/busybox").read_bytes()),
        initramfs.entry("init", initramfs.FILE, init.encode()),
        *(
            initramfs.entry(f"modules/{number:02}-{path.name}", initramfs.FILE, lzma.decompress(path.read_bytes()))
            for number, path in enumerate(initramfs.with_dependencies(modules, ("virtio_net",)))
        ),
        initramfs.entry("TRAILER!!!", 0),
    ]
    return b"".join(entries)


class GuestKernel(Closing):
    """The guest, running; it goes with the emulator."""

    def __init__(self, folder: Path, tap: int, mac: str, addresses) -> None:
        """Start it, and wait for its shell.

        Args:
            folder: For its initial file system.
            tap: The open file of the pod's tap, which the emulator gets.
            mac: Of its card.
            addresses: Of its card, as in ``10.0.0.1/24``.
        """
        machine = Path(subprocess.run([VM / "build"], check=True, stdout=subprocess.PIPE, text=True).stdout.strip())
        root = machine / "root"
        system = folder / "initramfs"
        system.write_bytes(make_initramfs(root, addresses))
        (kernel,) = (root / "boot").glob("vmlinuz-*")
        options = (
            f"-L {root}/usr/share/seabios -L {root}/usr/share/qemu -machine q35 -accel tcg -cpu max -smp 1 -m 256"
            " -nodefaults -no-user-config -display none -no-reboot -monitor none -serial stdio"
            f" -kernel {kernel} -initrd {system} -netdev tap,id=pod,fd={tap}"
            f" -device virtio-net-pci,netdev=pod,mac={mac},romfile="
        ).split()
        append = "console=ttyS0 quiet panic=-1 no_timer_check mitigations=off"
        self._process = subprocess.Popen(
            [VM / "tool", root, "qemu-system-x86_64", *options, "-append", append],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=[tap],
        )
        self._read = b""
        os.close(tap)
        try:
            self._until(rb"# ", BOOT_SECONDS)
        except BaseException:
            self.close()
            raise

    def does(self, command: str) -> bool:
        """Run a command in the guest; whether it succeeds."""
        self._read = b""
        self._process.stdin.write(f"{command} >/dev/null 2>&1; echo =$?=\n".encode())
        self._process.stdin.flush()
        return self._until(rb"=(\d+)=", COMMAND_SECONDS)[1] == b"0"

    def _until(self, pattern: bytes, seconds: float) -> re.Match:
        end = time.monotonic() + seconds
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while not (found := re.search(pattern, self._read)):
                left = end - time.monotonic()
                assert left > 0, f"the guest: {self._read[-2000:]!r}"
                assert self._process.poll() is None, f"the guest has ended: {self._read[-2000:]!r}"
                if selector.select(left):
                    self._read += os.read(self._process.stdout.fileno(), 65536)
        return found

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()
