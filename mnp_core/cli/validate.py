"""`mnp validate`: problems and doubts of manifests, or of the objects of a cluster."""

from collections import Counter
from collections.abc import Callable
from enum import StrEnum

import click

from mnp_core.cli.entrypoint import ANSWER_IS_BAD
from mnp_core.cli.findings import Result, examine
from mnp_core.cli.helping import examples
from mnp_core.cli.objects import Objects
from mnp_core.cli.options import form_option, paths_argument, registry_of, settings_file_option
from mnp_core.cli.rules import rules_option
from mnp_core.cli.source import Source, paths_or_cluster, source_options
from mnp_core.cli.terminal import print_json, print_line
from mnp_core.policy.lint import RULES, Level, Rule
from mnp_core.settings import Settings


class Form(StrEnum):
    """The form of the findings."""

    TEXT = "text"
    JSON = "json"
    SARIF = "sarif"
    JUNIT = "junit"
    GITHUB = "github"


@click.command(
    "validate",
    short_help="Check manifests and report problems.",
    epilog=examples(
        ("A folder of manifests:", "mnp validate policies"),
        ("In a pull request, with annotations:", "mnp validate policies --output github --fail-on warning"),
        ("For code scanning, without hints on spelling:", "mnp validate policies --output sarif --ignore Spelling"),
        ("A policy as if it were applied to the cluster of the kubeconfig:", "mnp validate --cluster policy.yaml"),
    ),
)
@paths_argument(required=False)
@rules_option(
    "--select",
    "selected",
    "Only these rules: names, ids, or the beginning of ids (MNP1), with commas; may be repeated. [default: all]",
)
@rules_option("--ignore", "left_out", "Not these rules; likewise.")
@click.option(
    "--fail-on",
    type=click.Choice([level.value for level in Level]),
    default=Level.ERROR.value,
    show_default=True,
    help="End with 1 if a finding is as urgent as this, or more.",
)
@click.option(
    "--complete",
    is_flag=True,
    help="The manifests are the whole cluster: report selectors of namespaces without any pod here as well.",
)
@source_options
@form_option(Form, "Text for eyes, JSON, SARIF 2.1.0, JUnit XML, or annotations of GitHub Actions.")
@settings_file_option
@click.pass_context
@paths_or_cluster
def validate_command(
    context: click.Context,
    *,
    origin: Source,
    selected: frozenset[Rule],
    left_out: frozenset[Rule],
    fail_on: str,
    complete: bool,
    form: str,
    settings: Settings,
) -> int:
    """Check manifests and report problems, and doubts about valid objects, with file, line and fix.

    Errors are not enforced as they look. Warnings and hints are enforced as written: policies that select nothing,
    peers that match nobody, shadowed rules. A comment accepts a finding: # mnp: ignore[ShadowedRule] the reason

    In folders, charts, values and templates of Helm, patches of kustomize and objects of other kinds are skipped and
    counted.

    Ends with 1 if there is an error (see --fail-on), 2 if something cannot be read.
    """
    objects = origin.read(registry_of(context, settings), settings, pick=True)
    rules = (selected or frozenset(RULES.values())) - left_out
    result = examine(objects, rules, complete=complete or origin.access is not None)
    level = Level(fail_on)
    _PRINTERS[Form(form)](result, objects, level)
    return ANSWER_IS_BAD if result.fails(level) else 0


def _text(result: Result, objects: Objects, _: Level) -> None:
    from mnp_core.cli.formats.findings import text_lines  # noqa: PLC0415 # of several forms one is needed

    for line in text_lines(result, _counted(objects)):
        print_line(line.text, colour=line.colour, bold=line.bold)


def _json(result: Result, objects: Objects, _: Level) -> None:
    from mnp_core.cli.formats.findings import json_value  # noqa: PLC0415 # as above

    print_json(json_value(result, objects.skipped + objects.unread))


def _sarif(result: Result, _: Objects, __: Level) -> None:
    from mnp_core.cli.formats.sarif import sarif  # noqa: PLC0415 # as above

    print_json(sarif(result))


def _junit(result: Result, objects: Objects, level: Level) -> None:
    from mnp_core.cli.formats.junit import junit_text  # noqa: PLC0415 # as above

    click.echo(junit_text(result, level, (file.name for file in objects.files)), nl=False)


def _github(result: Result, _: Objects, __: Level) -> None:
    from mnp_core.cli.formats.github import github_lines  # noqa: PLC0415 # as above

    for line in github_lines(result):
        click.echo(line)


_PRINTERS: dict[Form, Callable[[Result, Objects, Level], None]] = {
    Form.TEXT: _text,
    Form.JSON: _json,
    Form.SARIF: _sarif,
    Form.JUNIT: _junit,
    Form.GITHUB: _github,
}


def _counted(objects: Objects) -> str:
    kinds = Counter(objects.as_written(change.ref).kind for change in objects.changes)
    read = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items())) or "0 objects that are read here"
    others = f"; {_plural(objects.skipped, 'document')} of other kinds skipped" if objects.skipped else ""
    unread = f"; {_plural(objects.unread, 'file')} without objects of their own skipped" if objects.unread else ""
    return f"{read}{others}{unread}"


def _plural(count: int, noun: str) -> str:
    return f"1 {noun}" if count == 1 else f"{count} {noun}s"
