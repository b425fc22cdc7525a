"""Tap devices: the kernel's end of a cable, with a program at the other end. Here that program is a hub."""

import fcntl
import os
import select
import struct
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress

from mnp_core.sandbox.netns import run_inside
from mnp_core.testing.netns import End
from tests.vm.ip import configure

_TUNSETIFF = 0x400454CA  # <linux/if_tun.h>
_IFF_TAP_NO_PI = 0x1002
_LARGEST_FRAME = 65550


def attach(cleanup: ExitStack, pods: Sequence[End], outside: End) -> Sequence[str]:
    """See `tests.vm.devices.Attach`."""
    subprocess.run(["modprobe", "tun"], check=True)  # the device file of a module that is not loaded is missing
    files = [run_inside(end.sandbox, lambda end=end: open_tap(end.name)) for end in (*pods, outside)]
    cleanup.enter_context(hub(files))
    for end in (*pods, outside):
        configure(end)
    return ()


def open_tap(name: str) -> int:
    """Make a tap device in the namespace that this is called in; it goes with the file."""
    file = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    fcntl.ioctl(file, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TAP_NO_PI))
    return file


@contextmanager
def hub(files: Sequence[int]) -> Iterator[None]:
    """Give every frame to all others, on a thread; closes the files, with which the devices go."""
    stop = threading.Event()
    thread = threading.Thread(target=_pass_on, args=(files, stop), name="hub", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        for file in files:
            os.close(file)


def _pass_on(files: Sequence[int], stop: threading.Event) -> None:
    while not stop.is_set():
        for file in select.select(files, [], [], 0.1)[0]:
            with suppress(OSError):  # the device goes with its namespace, and is down before it comes up
                frame = os.read(file, _LARGEST_FRAME)
                for other in files:
                    if other != file:
                        os.write(other, frame)
