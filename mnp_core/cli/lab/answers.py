"""Answers of probes, for eyes or for programs."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click
from rich.text import Text

from mnp_core.cli.matrix import print_matrices
from mnp_core.cli.options import Output
from mnp_core.cli.terminal import print_json, remark, remark_reports, report_json, results
from mnp_core.lab.probe import ProbeResult, ProbeVerdict
from mnp_core.lab.prober import DEFAULT_TIMEOUT
from mnp_core.model import Report

F = TypeVar("F", bound=Callable[..., Any])

timeout_option = click.option(
    "--timeout",
    type=click.FloatRange(min=0.05, max=60),
    metavar="SECONDS",
    default=DEFAULT_TIMEOUT,
    show_default=True,
    help="After so long, silence is taken for a denial.",
)


def probe_options(command: F) -> F:
    """What to ask, and how long to wait for the answer."""
    command = timeout_option(command)
    return click.option(
        "--probe",
        "probes",
        metavar="PROBE",
        multiple=True,
        help="tcp:80, udp:53, sctp:99 or icmp; may be repeated. "
        "[default: every container port that a destination declares, else tcp:80]",
    )(command)


def print_answers(answers: Sequence[ProbeResult], reports: Sequence[Report], output: Output) -> None:
    """Put out what was asked for, and beside it what is wrong with objects."""
    if output is Output.JSON:
        print_json({"probes": [answer.as_json() for answer in answers], "reports": [*map(report_json, reports)]})
        return
    remark_reports(reports)
    print_matrices(results(), answers)
    for answer in answers:
        if answer.verdict is ProbeVerdict.ERROR:
            remark(f"Warning: {answer.probe} could not be probed: {answer.detail}")
    results().print(Text(_summary(answers)), soft_wrap=True)


def _summary(answers: Sequence[ProbeResult]) -> str:
    if not answers:
        return "Nothing to probe: no two pods share a network."
    count = Counter(answer.verdict for answer in answers)
    parts = ", ".join(f"{count[verdict]} {verdict.value}" for verdict in ProbeVerdict if count[verdict])
    return f"{len(answers)} probes: {parts}"
