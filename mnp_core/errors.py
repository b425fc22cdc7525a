"""The errors of the project, named by the reaction that they call for.

    MnpError
    ├── InputError           wrong user input: show it, it names the fix
    ├── UnsupportedError     this machine lacks something (root, a tool, a kernel feature): show it
    ├── PluginError          a plugin is missing, broken or ambiguous
    ├── ApiError             the API server refuses: `status` says whether another try can help
    ├── ApiUnreachableError  no answer of the API server: try again later
    └── SandboxError         one pod's network namespace: the others are not concerned
        ├── SandboxNotFoundError  not there (yet): try again later
        └── ApplyError            the kernel refused; the rules before are still in force

Failures of one item among many are values (`Report`, `Outcome`), not exceptions.
"""


class MnpError(Exception):
    """Base of all errors raised on purpose. The text names the object, the field and the remedy."""


class InputError(MnpError):
    """Something that a user wrote cannot be used.

    Attributes:
        message: The problem and the fix, without the place.
        where: The file, document or object, for example ``pods.yaml, document 3``.
        field: The path of the field, for example ``spec.ingress[0].from``; empty if it is the whole.
    """

    def __init__(self, message: str, *, where: str = "", field: str = "") -> None:
        self.message = message
        self.where = where
        self.field = field
        place = ": ".join(part for part in (where, field) if part)
        super().__init__(f"{place}: {message}" if place else message)


class UnsupportedError(MnpError):
    """This machine cannot do it: no root, a missing tool or library, a kernel feature that is absent."""


class PluginError(MnpError):
    """A plugin that is needed is missing, broken, or one of several that claim the same thing."""


class ApiError(MnpError):
    """The Kubernetes API server refused a request.

    Attributes:
        status: The HTTP status code.
        reason: The API's word for it, for example ``NotFound`` or ``Expired``; empty if it gave none.
        message: The server's own words.
        retry_after: Seconds that it asks to be left alone for; None if it does not ask.
    """

    def __init__(self, status: int, reason: str, message: str, retry_after: float | None = None) -> None:
        self.status = status
        self.reason = reason
        self.message = message
        self.retry_after = retry_after
        super().__init__(f"the API server answers {status}{reason and f' {reason}'}: {message}")


class ApiUnreachableError(MnpError):
    """The API server gave no answer, or the answer broke off: no connection, a time-out, a failed TLS handshake.

    Attributes:
        timed_out: Whether it is silence that lasted too long.
    """

    def __init__(self, message: str, *, timed_out: bool = False) -> None:
        self.timed_out = timed_out
        super().__init__(message)


class SandboxError(MnpError):
    """Something about one pod's network namespace; other pods are not concerned."""


class SandboxNotFoundError(SandboxError):
    """The pod's network namespace is not there, or not any more: worth another try later."""


class ApplyError(SandboxError):
    """The kernel refused a ruleset. The one before is still in force (S60)."""
