"""`mnp validate`: everything that is wrong with manifests, or with the objects of a cluster."""

from collections import Counter

import click

from mnp_core.cli.entrypoint import ANSWER_IS_BAD
from mnp_core.cli.helping import examples
from mnp_core.cli.objects import Objects
from mnp_core.cli.options import Output, output_option, paths_argument, registry_of, settings_file_option
from mnp_core.cli.source import Source, paths_or_cluster, source_options
from mnp_core.cli.terminal import print_json, print_line, report_json
from mnp_core.model import Report, Severity
from mnp_core.settings import Settings


@click.command(
    "validate",
    short_help="Check manifests and report problems.",
    epilog=examples(
        ("A folder of manifests:", "mnp validate policies"),
        ("A policy as if it were applied to the cluster of the kubeconfig:", "mnp validate --cluster policy.yaml"),
    ),
)
@paths_argument(required=False)
@source_options
@output_option
@settings_file_option
@click.pass_context
@paths_or_cluster
def validate_command(context: click.Context, *, origin: Source, output: Output, settings: Settings) -> int:
    """Say what is wrong with manifests, each for itself and all together.

    Ends with 1 if anything is, so that it can stand in a CI pipeline or a commit hook. Hints are listed and change
    nothing about that.
    """
    objects = origin.read(registry_of(context, settings), settings)
    reports = objects.reports()
    if output is Output.JSON:
        print_json({"reports": [report_json(report) for report in reports]})
    else:
        _print(objects, reports)
    return ANSWER_IS_BAD if any(report.severity is Severity.PROBLEM for report in reports) else 0


def _print(objects: Objects, reports: tuple[Report, ...]) -> None:
    for report in reports:
        place = f"{report.about}: {report.field}" if report.field else str(report.about)
        print_line(place, bold=True)
        message = f"{report.reason.value}: {report.message}."
        if report.severity is Severity.HINT:
            print_line(f"  Hint, {message}", colour="yellow")
        else:
            print_line(f"  {message}", colour="red")
        print_line(f"  {report.remedy}.")
    count = Counter(report.severity for report in reports)
    found = _plural(count[Severity.PROBLEM], "problem") if count[Severity.PROBLEM] else "no problems"
    hints = f" and {_plural(count[Severity.HINT], 'hint')}" if count[Severity.HINT] else ""
    colour = "red" if count[Severity.PROBLEM] else "green"
    print_line(f"{found}{hints} in {_counted(objects)}", colour=colour)


def _plural(count: int, noun: str) -> str:
    return f"1 {noun}" if count == 1 else f"{count} {noun}s"


def _counted(objects: Objects) -> str:
    kinds = Counter(objects.as_written(change.ref).kind for change in objects.changes)
    read = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items())) or "0 objects that are read here"
    return f"{read}; {_plural(objects.skipped, 'document')} of other kinds skipped" if objects.skipped else read
