"""Runs a program of this machine in a pod's network namespace."""

import subprocess
from collections.abc import Sequence

from mnp_core.api import Sandbox
from mnp_core.errors import InputError
from mnp_core.sandbox.netns import run_inside

_SIGNALLED = 128  # what a shell adds to the signal's number


def start(sandbox: Sandbox, argv: Sequence[str]) -> subprocess.Popen[bytes]:
    """Start it with this process' terminal and streams. A child is in the namespace of the thread that forks it.

    Raises:
        InputError: There is no such program.
        SandboxNotFoundError: The pod has gone.
    """
    try:
        return run_inside(sandbox, lambda: subprocess.Popen(argv))  # noqa: S603 # the user's own choice
    except FileNotFoundError as error:
        raise InputError(f"there is no program {argv[0]!r} on this machine") from error
    except PermissionError as error:
        raise InputError(f"{argv[0]!r} is not a program that may be run") from error


def wait(process: subprocess.Popen[bytes]) -> int:
    """Wait for its exit status; 128 and the signal's number if one ended it.

    Ctrl-C is the child's, which has the terminal: this process waits what it makes of it.
    """
    while True:
        try:
            status = process.wait()
        except KeyboardInterrupt:
            continue
        except BaseException:
            process.terminate()
            raise
        return status if status >= 0 else _SIGNALLED - status
