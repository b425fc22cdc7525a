"""Runs a program of this machine in a pod's network namespace."""

import os
import signal
import subprocess
from collections.abc import Callable, Sequence
from typing import NoReturn, TypeVar

from attrs import frozen

from mnp_core.api import Sandbox
from mnp_core.errors import InputError
from mnp_core.sandbox.netns import run_inside

_SIGNALLED = 128  # a shell's offset for the signal's number

T = TypeVar("T")


class NoSuchProgramError(InputError):
    """There is no program of that name."""


class NotExecutableError(InputError):
    """The kernel does not run it."""


@frozen(kw_only=True)
class Program:
    """A program with its arguments, and the network namespace that it is to run in. A fork stays in its thread's.

    Each way to start it raises NoSuchProgramError, NotExecutableError, or SandboxNotFoundError if the pod has gone.
    """

    sandbox: Sandbox
    argv: Sequence[str]

    def start(self) -> subprocess.Popen[bytes]:
        """As a child with this process' terminal and streams."""
        return self._inside(lambda: subprocess.Popen(self.argv))  # noqa: S603 # the user's own choice

    def detach(self) -> int:
        """In the background, without terminal and streams; gives its process ID."""
        null = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in range(3)]
        return self._inside(
            lambda: os.posix_spawnp(
                self.argv[0], [*self.argv], os.environ, file_actions=null, setsid=True, setsigdef=[signal.SIGPIPE]
            )
        )

    def replace(self) -> NoReturn:
        """In this process, of which nothing is left then: signals and waiting parents mean the program."""
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python ignores it, and exec keeps ignored signals ignored
        self._inside(lambda: os.execvp(self.argv[0], [*self.argv]))  # noqa: S606 # the user's own choice
        raise AssertionError("it has been replaced")

    def _inside(self, work: Callable[[], T]) -> T:
        try:
            return run_inside(self.sandbox, work)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise NoSuchProgramError(f"there is no program {self.argv[0]!r} on this machine") from error
        except OSError as error:
            raise NotExecutableError(f"{self.argv[0]!r} cannot be run: {error.strerror}") from error


def wait(process: subprocess.Popen[bytes]) -> int:
    """Wait for its exit status; 128 and the signal's number if one ended it.

    Ctrl-C goes to the child, which has the terminal: this process waits for the child's reaction.
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
