"""How a command ends: every failure becomes one clear message and an exit status, never a bare traceback."""

import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from io import StringIO
from types import FrameType

import click

from mnp_core.cli.streams import OutputError, discard, occupy_closed_streams, watched_output
from mnp_core.errors import MnpError

ANSWER_IS_BAD = 1
NOT_DONE = 2
DEFECT = 70  # EX_SOFTWARE of sysexits.h
_SIGNALLED = 128  # plus the number of the signal, as shells count

DEBUG_VARIABLE = "MNP_DEBUG"


def run_command(
    make: Callable[[], click.Command],
    arguments: Sequence[str] | None,
    program: str = "mnp",
    *,
    is_whole_process: bool = False,
) -> int:
    """Make a command, run it and return its exit status.

    A numeric return value of the command is the status. A callable one returns the status when it is called with
    `is_whole_process`.

    Args:
        make: Factory of the command.
        arguments: Its arguments; those of the process if None.
        program: Its name.
        is_whole_process: Whether this process serves the command alone, so that another program may replace it.
    """
    occupy_closed_streams()
    try:
        with _signals_raise():
            with watched_output():
                result = make().main(args=arguments, prog_name=program, standalone_mode=False)
            status = result(is_whole_process) if callable(result) else result
    except (click.Abort, KeyboardInterrupt):
        return _fail("interrupted", _SIGNALLED + signal.SIGINT)
    except click.ClickException as error:
        return _fail(_usage(error), error.exit_code)
    except OutputError as error:  # the reader of a pipe, such as `head`, has seen enough
        return _SIGNALLED + signal.SIGPIPE if error.is_pipe else _fail(f"Error: {error}", NOT_DONE)
    except MnpError as error:
        return _fail(f"Error: {error}", NOT_DONE)
    except Exception as error:  # noqa: BLE001 - the last resort of the program: any defect, reported shortly
        return _fail(_defect(error), DEFECT)
    return status if isinstance(status, int) else 0


def _usage(error: click.ClickException) -> str:
    """As click shows it."""
    shown = StringIO()
    error.show(shown)
    return shown.getvalue().rstrip("\n")


@contextmanager
def _signals_raise() -> Iterator[None]:
    """Raise SIGTERM and SIGHUP as exceptions, as Ctrl-C is, so that clean-up code runs."""

    def leave(number: int, _frame: FrameType | None) -> None:
        raise SystemExit(_SIGNALLED + number)

    ours = [number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) != signal.SIG_IGN]  # nohup
    before = {number: signal.signal(number, leave) for number in ours}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _defect(error: Exception) -> str:
    if os.environ.get(DEBUG_VARIABLE):
        return "".join(traceback.format_exception(error)).rstrip()
    kind, text = type(error).__name__, str(error)
    said = f"{kind}: {text}" if text else kind
    return f"Error: this should not have happened: {said}\nSet {DEBUG_VARIABLE}=1 for the traceback, and report it."


def _fail(message: str, status: int) -> int:
    from mnp_core.cli.terminal import without_controls  # noqa: PLC0415 # needed for failures only

    try:
        click.echo(without_controls(message), err=True)  # it may quote a server or a file
    except OSError:  # standard error is closed; the status remains
        discard(sys.stderr)
    return status
