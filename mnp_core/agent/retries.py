"""The failures of one pod's operations, and when the next try is due.

Errors are of two kinds. A permanent one (input, unsupported, plugin) is not retried: it waits for new input. A
temporary one backs off, and counts as lasting after some tries.
"""

import math
from collections.abc import Callable
from typing import Final

from mnp_core.agent.results import Attempt, Operation, failure_of
from mnp_core.api import Failure
from mnp_core.classes import define
from mnp_core.errors import InputError, MnpError, PluginError, SandboxNotFoundError, UnsupportedError

_PERMANENT: Final = (InputError, UnsupportedError, PluginError)
_FIRST_SECONDS: Final = 0.1  # doubled each time
_LAST_SECONDS: Final = 300.0
_LAST_LOCATE_SECONDS: Final = 30.0  # a sandbox may come unannounced
_FINALIZE_SECONDS: Final = 5.0
_LASTING_TRIES: Final = 6  # in about five seconds: then the pod counts as unenforceable, for now
_AWAITED_TRIES: Final = 4  # one and a half seconds with the pauses between them
_NEVER: Final = math.inf


@define(eq=False)
class Retries:
    """Failures since the last success. Times are of the caller's clock, in seconds.

    Attributes:
        jitter: A factor for the pause before a retry, 0.5 to 1.
        at: When operations may start again; infinity until new input.
        error: The cause of the last try's failure; empty if it succeeded.
        failure: The same in one word; None if it succeeded.
    """

    jitter: Callable[[], float] = lambda: 1.0
    at: float = 0.0
    error: str = ""
    failure: Failure | None = None
    _tries: int = 0
    _permanent: bool = False  # a retry is useless
    _due: float = 0.0  # the same as `at`, but for changes since

    @property
    def awaiting_sandbox(self) -> bool:
        """Whether the sandbox is missing, but expected: the API has a pod before the runtime has made its sandbox."""
        return self.failure is Failure.NOT_FOUND and self._tries <= _AWAITED_TRIES

    @property
    def hopeless(self) -> bool:
        """Whether a retry soon is useless: only new input helps, or the error lasts."""
        return self._permanent or self._tries >= _LASTING_TRIES

    @property
    def waits_for_input(self) -> bool:
        """Whether the next retry needs a change of input."""
        return self.at == _NEVER

    def hurry(self) -> None:
        """Retry at once after a change of input; the count of tries goes on."""
        self.at = 0.0

    def input_changed(self) -> None:
        """Retry at once if that is what was missing."""
        if self.waits_for_input:
            self.at = 0.0

    def sandbox_changed(self, at: float) -> None:
        """Retry a permanent error at that time: the sandbox's state is input of its packet filter, too."""
        if self.waits_for_input and self.failure is not Failure.INPUT:
            self.at = at

    def restart(self) -> None:
        """Retry without a pause."""
        self.at = self._due = 0.0

    def clear(self) -> None:
        """Record a success."""
        self.error, self.failure, self._tries, self._permanent = "", None, 0, False
        self.restart()

    def record(self, error: BaseException, attempt: Attempt, now: float) -> None:
        """Record the failure of an attempt."""
        self.error = str(error) if isinstance(error, MnpError) else f"{type(error).__name__} in a plugin: {error}"
        self.failure = failure_of(error)
        match attempt.operation:
            case Operation.FINALIZE:  # the replacement before it succeeded, and would again
                self.at = now + _FINALIZE_SECONDS
            case Operation.UPDATE_MEMBERS | Operation.VERIFY:
                pass  # only a part was tried
            case _:
                if not isinstance(error, SandboxNotFoundError) or attempt.started_at >= self._due:
                    self._tries += 1  # else a change has hurried it: a few would make an awaited sandbox a missing one
                    self._due = now + self._pause() * self.jitter()
                self._permanent = isinstance(error, _PERMANENT)
                self.at = _NEVER if self._permanent else self._due

    def _pause(self) -> float:
        longest = _LAST_LOCATE_SECONDS if self.failure is Failure.NOT_FOUND else _LAST_SECONDS
        return min(longest, _FIRST_SECONDS * 2.0 ** min(self._tries - 1, 20))
