"""Runs the restore programs of iptables in the network namespace of the calling thread."""

import os
import resource
import shutil
import subprocess

from mnp_core.errors import ApplyError, UnsupportedError

_PATH = "/usr/sbin:/sbin:/usr/local/sbin:/usr/bin:/bin"
_ENVIRONMENT = {"PATH": _PATH, "LC_ALL": "C"}
_REMEDY = "install it with: apt-get install iptables (Debian, Ubuntu) or dnf install iptables-nft (Fedora)"

_SECONDS, _SECONDS_PER_BYTE = 20.0, 1e-4  # a text of 100 KiB takes some 0.2 s on an idle machine
_MEMORY, _MEMORY_PER_BYTE = 256 << 20, 64  # bytes of address space, most of it libraries
_DESCRIPTORS = 64
_WORDS = 4096  # bytes of its output in an error


def find(tool: str) -> str:
    """The full path of a program.

    Raises:
        UnsupportedError: It is not there.
    """
    path = shutil.which(tool) or shutil.which(tool, path=_PATH)
    if path is None:
        raise UnsupportedError(f"{tool} is not there: {_REMEDY}")
    return path


def run(tool: str, *arguments: str, text: str) -> None:
    """Run a program on a text, within limits, and with a private lock: no other program works in its namespace.

    Raises:
        ApplyError: It failed; with its words, and the line of the text that it means.
        UnsupportedError: It is not there.
    """
    path, data = find(tool), text.encode(errors="surrogateescape")
    lock = -1
    try:
        lock = os.memfd_create("xtables.lock")
        program = subprocess.Popen(  # noqa: S603 - a program of the system, by its full path, without a shell
            [path, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env={**_ENVIRONMENT, "XTABLES_LOCKFILE": f"/proc/self/fd/{lock}"},
            pass_fds=[lock],
        )
        with program:
            stderr = _fed(program, data)
    except (OSError, subprocess.SubprocessError) as error:
        raise ApplyError(f"{tool}: {error}") from error
    finally:
        if lock >= 0:
            os.close(lock)
    if program.returncode:
        raise ApplyError(f"{tool} refused: {_complaint(program.returncode, stderr, text)}")


def _fed(program: "subprocess.Popen[bytes]", data: bytes) -> bytes:
    """Give a program its limits and its input, and wait; return its error output."""
    try:
        limits = {
            resource.RLIMIT_AS: _MEMORY + _MEMORY_PER_BYTE * len(data),
            resource.RLIMIT_NOFILE: _DESCRIPTORS,
            resource.RLIMIT_CORE: 0,
        }
        for limit, most in limits.items():
            resource.prlimit(program.pid, limit, (most, most))
        return program.communicate(data, timeout=_SECONDS + _SECONDS_PER_BYTE * len(data))[1]
    except BaseException:
        program.kill()
        raise


def _complaint(status: int, stderr: bytes, text: str) -> str:
    said = stderr[:_WORDS].decode(errors="replace").strip()
    lines = text.splitlines()
    numbers = (int(word) for word in said.replace(":", " ").split() if word.isdecimal())
    guilty = next((lines[number - 1] for number in numbers if 0 < number <= len(lines)), "")
    ended = f"it was ended by signal {-status}" if status < 0 else ""
    return "\n".join(part for part in (said, guilty, ended) if part) or f"exit status {status}"
