"""Transactions of nf_tables and questions to it, with errors that name a remedy."""

import errno
from collections.abc import Callable
from typing import TypeVar

from mnp_core.api import Sandbox
from mnp_core.errors import ApplyError
from mnp_core.netfilter.batch import Batch
from mnp_core.netfilter.kept import kept_socket, socket_in
from mnp_core.netfilter.nfnetlink import Nfnetlink, RefusedError, SupersededError, UnansweredError
from mnp_core.netfilter.remedies import describe, remedy

T = TypeVar("T")

PASSING = frozenset({errno.ENOMEM, errno.ENOBUFS, errno.EAGAIN, errno.EINTR, errno.ENFILE, errno.EMFILE})
"""Refusals for lack of something: not for what is in the table, which stays."""
NO_REMEDY = "it is tried again"
_GENERATIONS = 2**32


def asked(question: Callable[[], T]) -> T:
    """Call the kernel; its errors become `ApplyError`, with their remedies."""
    try:
        return question()
    except OSError as error:
        raise ApplyError(f"nf_tables does not answer: {describe(error, NO_REMEDY)}") from error


def refusal(refused: RefusedError) -> ApplyError:
    """The error for a refused transaction."""
    return ApplyError(f"nf_tables refuses {refused}: {remedy(refused.code) or 'look at the other rules in this pod'}")


def unanswered(error: UnansweredError) -> ApplyError:
    """The error for a transaction without an answer that is not in force."""
    return ApplyError(f"the answer of nf_tables was lost ({error}), and nothing has changed: {NO_REMEDY}")


def commit(batch: Batch, before: int | None = None) -> None:
    """Run a transaction; errors as `Nfnetlink.commit`, but an `OSError` becomes `ApplyError`."""

    def send() -> None:
        with kept_socket() as kernel:
            kernel.commit(batch, before)

    asked(send)


def commit_on(sandbox: Sandbox, batch: Batch, before: int) -> int | None:
    """Run a transaction on one generation of a sandbox, from any thread.

    Returns:
        The new generation. None if it was refused, its answer was lost, or no socket is open in the sandbox.
    """
    if not batch.data:
        return None
    try:
        with socket_in((sandbox.device, sandbox.inode)) as kernel:
            return following(before) if kernel is not None and _committed(kernel, batch, before) else None
    except (RefusedError, UnansweredError, OSError):
        return None


def _committed(kernel: Nfnetlink, batch: Batch, before: int) -> bool:
    """Whether this was the generation; if not, the socket is as good as before."""
    try:
        kernel.commit(batch, before)
    except SupersededError:
        return False
    return True


def following(generation: int) -> int:
    """The number after one commit: the kernel leaves 0 out."""
    return (generation + 1) % _GENERATIONS or 1
