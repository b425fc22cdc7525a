"""Answers of probes, for eyes or for programs."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, TypeVar

import click

from mnp_core.cli.entrypoint import ANSWER_IS_BAD
from mnp_core.cli.matrix import print_matrices
from mnp_core.cli.options import Output, Seconds
from mnp_core.cli.terminal import print_json, print_line, remark, remark_reports
from mnp_core.model import Report
from mnp_core.offline.probe import ProbeResult, ProbeVerdict
from mnp_lab.lab import Lab
from mnp_lab.prober import DEFAULT_TIMEOUT
from mnp_lab.topology import PodPlan

F = TypeVar("F", bound=Callable[..., Any])

timeout_option = click.option(
    "--timeout",
    type=Seconds(min=0.05, max=60),
    metavar="SECONDS",
    default=DEFAULT_TIMEOUT,
    show_default=True,
    help="After so long, silence is taken for a denial.",
)


def probe_options(command: F) -> F:
    """The probes to send, and their timeout."""
    command = timeout_option(command)
    return click.option(
        "--probe",
        "probes",
        metavar="PROBE",
        multiple=True,
        help="tcp:80, udp:53, sctp:99 or icmp; may be repeated. "
        "[default: every container port that a destination declares, else tcp:80]",
    )(command)


def print_answers(
    answers: Sequence[ProbeResult], pods: Collection[PodPlan], reports: Sequence[Report], output: Output
) -> None:
    """Print the results, and the problems of objects beside them.

    Args:
        answers: One for each probe.
        pods: The selected pods, to explain an empty result.
        reports: Problems of objects.
        output: Format of the output.
    """
    if output is Output.JSON:
        print_json(
            {"probes": [answer.as_json() for answer in answers], "reports": [report.as_json() for report in reports]}
        )
        return
    remark_reports(reports)
    print_matrices(answers)
    for answer in answers:
        if answer.verdict is ProbeVerdict.ERROR:
            remark(f"Warning: {answer.probe}: error: {answer.detail}")
    print_line(_summary(answers, pods))


def reports_of(lab: Lab, output: Output) -> tuple[Report, ...]:
    """Problems in objects; eyes have read of pods that are left out in the notices."""
    reports = lab.last_sync.reports if lab.last_sync else ()
    return reports if output is Output.TABLE else tuple(sorted({*reports, *lab.plan.reports}))


def tell_unenforced(lab: Lab, left_open: Iterable[str] = ()) -> int:
    """Say which policies are not in force; the exit status that goes with it."""
    failed = [f"pod {pod}: its policies could not be enforced: {why}" for pod, why in sorted(lab.unenforced.items())]
    problems = [*failed, *left_open]
    for problem in problems:
        remark(f"Error: {problem}")
    return ANSWER_IS_BAD if problems else 0


def _summary(answers: Sequence[ProbeResult], pods: Collection[PodPlan]) -> str:
    if not answers:
        return f"Nothing to probe: {_obstacle(pods)}."
    count = Counter(answer.verdict for answer in answers)
    parts = ", ".join(f"{count[verdict]} {verdict.value}" for verdict in ProbeVerdict if count[verdict])
    return f"{len(answers)} probes: {parts}"


def _obstacle(pods: Collection[PodPlan]) -> str:
    """The reason for a selection without a pair of pods."""
    if len(pods) < 2:
        return f"there is only one pod, {next(iter(pods)).name}" if pods else "there are no pods"
    users = Counter(network for pod in pods for network in {link.network for link in pod.links})
    shared = sorted(network for network, number in users.items() if number > 1)
    if shared:
        return f"no two pods have addresses of one family on a network that they share ({', '.join(map(str, shared))})"
    return "no two pods share a network"
