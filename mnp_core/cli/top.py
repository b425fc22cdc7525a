"""`mnp top`: packets and bytes a second by the rules of policies, from the kernels of this node's pods."""

import json
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import click

from mnp_core.cli.agent import Question, question_options
from mnp_core.cli.formats.columns import in_columns
from mnp_core.cli.helping import examples
from mnp_core.cli.options import Decorator, Output, Seconds, output_option
from mnp_core.cli.rates import Count, Key, Rate, counts_of, rates
from mnp_core.cli.terminal import is_terminal, print_json, print_line, remark, results
from mnp_core.errors import InputError
from mnp_core.node.status.client import BrokenAnswerError

if TYPE_CHECKING:
    from rich.live import Live

HEADS: Final = ("POD", "INTERFACE", "DIRECTION", "PACKETS/s", "BYTES/s", "PACKETS", "BYTES", "RULE")
_LEAST_SECONDS: Final = 0.5
_MARGIN: Final = 3  # lines of a terminal that are no rows
_UNITS: Final = ("", "k", "M", "G", "T", "P")
_THOUSAND: Final = 1000


def interval_options(default: float) -> Decorator[Any]:
    """``--once`` and ``--interval``."""
    interval = click.option(
        "--interval",
        "-i",
        type=Seconds(min=_LEAST_SECONDS),
        default=default,
        show_default=True,
        metavar="SECONDS",
        help="Between two readings.",
    )
    once = click.option("--once", is_flag=True, help="One interval, every rule, and end.")
    return lambda command: once(interval(command))


@click.command(
    "top",
    short_help="Print packets and bytes a second by policy rule.",
    epilog=examples(
        ("Live:", "mnp top"),
        ("Every rule of a namespace, over one second:", "mnp top -n shop --once"),
        ("One JSON value a line:", "mnp top --pod shop/web -o json"),
    ),
)
@question_options
@output_option
@interval_options(1.0)
def top_command(*, question: Question, output: Output, once: bool, interval: float) -> None:
    """Print packets and bytes a second by policy rule, the busiest first, until Ctrl-C.

    The kernel counts them in each pod. `established` are packets of connections that a rule has allowed before,
    `denied` those that no rule allows. The agent reads 256 pods at most: select some on a bigger node. Run it as root
    on a node, in the agent's container.
    """
    before = _ask(question)
    if not before and question.pods:
        raise InputError(f"pod {question.pods[0]} is not on this node, or has no rules in force")
    counts = _counts(before)
    with screen(live=output is Output.TABLE and not once and is_terminal()) as picture:
        while True:
            time.sleep(interval)
            pods = _ask(question)
            after = _counts(pods)
            found = list(rates(counts, after))
            _show(found, _unread(pods), output, once=once, picture=picture, seconds=_seconds(counts, after))
            counts = after
            if once:
                return


def _ask(question: Question) -> list[Mapping[str, Any]]:
    return [item["pod"] for item in question.ask("counters") if isinstance(item.get("pod"), dict)]


def _counts(pods: Sequence[Mapping[str, Any]]) -> dict[Key, Count]:
    try:
        return counts_of(pods)
    except (KeyError, TypeError) as error:
        raise BrokenAnswerError(f"the agent's answer has an unknown form: {error!r:.80}") from error


def _seconds(before: Mapping[Key, Count], after: Mapping[Key, Count]) -> float:
    """The longest interval of a rule."""
    return max((count.at - before[key].at for key, count in after.items() if key in before), default=0.0)


def _unread(pods: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    return {f"{pod['namespace']}/{pod['name']}": str(pod["error"]) for pod in pods if pod.get("error")}


def _show(
    found: Sequence[Rate],
    unread: Mapping[str, str],
    output: Output,
    *,
    once: bool,
    picture: "Live | None",
    seconds: float,
) -> None:
    if output is Output.JSON:
        errors = [{"pod": pod, "error": error} for pod, error in unread.items()]
        value = {"seconds": round(seconds, 3), "rules": [rate.as_json() for rate in found], "unread": errors}
        print_json(value) if once else click.echo(json.dumps(value))
        return
    lines = list(in_columns(HEADS, map(row, found)))
    if picture is not None:
        draw(picture, lines)
        return
    for line in lines:
        print_line(line)
    for pod, error in unread.items():
        remark(f"Warning: {pod} could not be read: {error}")


def row(rate: Rate) -> list[str]:
    """The cells of a rule."""
    return [
        rate.pod,
        rate.interface or "*",
        rate.direction,
        _short(rate.packets_per_second),
        _short(rate.bytes_per_second),
        _short(rate.packets),
        _short(rate.bytes),
        rate.rule,
    ]


def _short(number: float) -> str:
    """Three digits and a unit of thousands."""
    value, units = float(number), list(_UNITS)
    while value >= _THOUSAND and len(units) > 1:
        value, units = value / _THOUSAND, units[1:]
    digits = 0 if value.is_integer() or value >= _THOUSAND / 10 else 1
    return f"{value:.{digits}f}{units[0]}"


@contextmanager
def screen(*, live: bool) -> Iterator["Live | None"]:
    """A picture that fills the terminal; None unless it is to be live."""
    if not live:
        yield None
        return
    from rich.live import Live  # noqa: PLC0415 - on terminals only

    with Live(console=results(), auto_refresh=False, screen=True) as picture:
        yield picture


def draw(picture: "Live", lines: Sequence[str]) -> None:
    """Draw the lines that fit."""
    from rich.text import Text  # noqa: PLC0415 - likewise

    size = shutil.get_terminal_size()
    shown = lines[: max(size.lines - _MARGIN, 2)]
    rest = [f"and {len(lines) - len(shown)} more rules: --once prints all"] if len(shown) < len(lines) else []
    text = "\n".join(line[: size.columns] for line in (*shown, *rest))
    picture.update(Text(text, no_wrap=True, overflow="crop"), refresh=True)
