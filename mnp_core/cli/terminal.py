"""The two ends of a command's output: results on standard output, everything else on standard error.

With ``--output json`` standard output carries one JSON value and nothing else, so every remark, a progress bar
included, goes to the other end, and bars are drawn for eyes only.

rich is imported where something is drawn: it takes longer than most commands.
"""

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import click

from mnp_core.cli.streams import discard
from mnp_core.model import Report, Severity

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

_CONTROL = dict.fromkeys(set(range(0x20)) - {ord("\t"), ord("\n")} | set(range(0x7F, 0xA0)))
"""Control characters, for `str.translate`."""


class Style(NamedTuple):
    """The looks of a piece of text, where results have any; colours by their names in `click.style`."""

    colour: str | None = None
    bold: bool = False
    dim: bool = False


PLAIN = Style()

Line = Sequence[tuple[str, Style]]
"""Pieces of text, one behind the other."""

Step = Callable[[str, int, int], None]
"""Called with the description of a step, the units done and the units in total."""


def results() -> "Console":
    """Standard output; colours only on a terminal, and not with NO_COLOR."""
    from rich.console import Console  # noqa: PLC0415 # see above

    return Console(highlight=False, soft_wrap=False)


def remarks() -> "Console":
    """Standard error."""
    from rich.console import Console  # noqa: PLC0415 # see above

    return Console(highlight=False, stderr=True)


def without_controls(text: str) -> str:
    """Text without control characters but tabs and line ends: none that a terminal would obey."""
    return text.translate(_CONTROL)


def print_json(value: object) -> None:
    """Put out one JSON value."""
    click.echo(json.dumps(value, indent=2))


def print_line(text: str, *, colour: str | None = None, bold: bool = False) -> None:
    """Print one line of a result, styled where `results` would be; control characters in it are left out."""
    print_styled([(text, Style(colour, bold))])


def print_styled(line: Line) -> None:
    """Print one line of a result; as `print_line`, with a style for each piece."""
    pieces = (
        click.style(text.translate(_CONTROL), style.colour, bold=style.bold or None, dim=style.dim or None)
        for text, style in line
    )
    click.echo("".join(pieces), color=_is_coloured())


def is_terminal() -> bool:
    """Whether results are drawn for eyes, on a terminal."""
    return sys.stdout.isatty()


def _is_coloured() -> bool | None:
    """Whether lines have colours whatever standard output is, as rich decides; None: on a terminal alone."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") in {"dumb", "unknown"}:
        return False
    return True if os.environ.get("FORCE_COLOR") else None


def remark(text: str) -> None:
    """Print a remark beside the result; a closed standard error does not affect the result."""
    try:
        click.echo(text.translate(_CONTROL), err=True)
    except OSError:
        discard(sys.stderr)


def remark_reports(reports: Iterable[Report]) -> None:
    """Print the problems of objects, beside a result that stands nevertheless."""
    for report in reports:
        remark(f"{'Hint' if report.severity is Severity.HINT else 'Warning'}: {report}")


@contextmanager
def progress() -> Iterator[Step]:
    """Bars on standard error for the length of a block; nothing at all if that is not a terminal."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn  # noqa: PLC0415 # see above

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    console = remarks()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        yield _Bars(bars)


class _Bars:
    """One bar for each step, made at the first call for it."""

    def __init__(self, bars: "Progress") -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, what: str, done: int, total: int) -> None:
        if what not in self._tasks:
            self._finish_all()
            self._tasks[what] = self._bars.add_task(what, total=total)
        self._bars.update(self._tasks[what], completed=done, total=total)

    def _finish_all(self) -> None:
        """Complete all bars: a new step begins when the last one is done, reported or not."""
        for task in self._bars.tasks:
            self._bars.update(task.id, completed=task.total)
