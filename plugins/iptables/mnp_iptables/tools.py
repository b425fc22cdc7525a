"""Run the programs of iptables, in the network namespace of the calling thread."""

import shutil
import subprocess

from mnp_core.errors import ApplyError, UnsupportedError

_PATH = "/usr/sbin:/sbin:/usr/local/sbin:/usr/bin:/bin"
_ENVIRONMENT = {"PATH": _PATH, "LC_ALL": "C"}
_TIMEOUT = 60.0  # seconds
_REMEDY = "install it with: apt-get install iptables (Debian, Ubuntu) or dnf install iptables-nft (Fedora)"


def find(tool: str) -> str:
    """The full path of a program.

    Raises:
        UnsupportedError: It is not there.
    """
    path = shutil.which(tool) or shutil.which(tool, path=_PATH)
    if path is None:
        raise UnsupportedError(f"{tool} is not there: {_REMEDY}")
    return path


def run(tool: str, *arguments: str, text: str = "") -> str:
    """Run a program on a text; returns what it writes.

    Raises:
        ApplyError: It failed; with its words, and the line of the text that it means.
        UnsupportedError: It is not there.
    """
    try:
        done = subprocess.run(  # noqa: S603 - a program of the system, by its full path, without a shell
            [find(tool), *arguments],
            input=text.encode(),
            capture_output=True,
            env=_ENVIRONMENT,
            timeout=_TIMEOUT,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ApplyError(f"{tool}: {error}") from error
    if done.returncode:
        raise ApplyError(f"{tool} refused: {_complaint(done.stderr, text)}")
    return done.stdout.decode(errors="replace")


def _complaint(stderr: bytes, text: str) -> str:
    said = stderr.decode(errors="replace").strip()
    lines = text.splitlines()
    numbers = (int(word) for word in said.replace(":", " ").split() if word.isdecimal())
    guilty = next((lines[number - 1] for number in numbers if 0 < number <= len(lines)), "")
    return f"{said}\n{guilty}".strip()
