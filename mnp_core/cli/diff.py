"""`mnp diff`: the pairs that open and close between two states of manifests or of a cluster."""

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path

import click

from mnp_core.cli.ends import attached, outside_ends, pod_ends, rule_cidrs, rule_ports
from mnp_core.cli.entrypoint import ANSWER_IS_BAD
from mnp_core.cli.formats.difference import as_json, markdown_text, summary, text_lines
from mnp_core.cli.helping import examples
from mnp_core.cli.objects import Objects
from mnp_core.cli.options import form_option, probe_option, registry_of, settings_file_option
from mnp_core.cli.source import Source, source_options
from mnp_core.cli.terminal import print_json, remark
from mnp_core.errors import InputError
from mnp_core.model import PortRange
from mnp_core.offline.differences import Difference, State, differences
from mnp_core.offline.port_spans import port_spans
from mnp_core.offline.probe import ProbeSpec, parse_probe
from mnp_core.offline.reach import End
from mnp_core.policy.reachability import Reachability
from mnp_core.settings import Settings
from mnp_core.sources.manifests import STDIN


class Form(StrEnum):
    """The form of the answer."""

    TEXT = "text"
    JSON = "json"
    MARKDOWN = "markdown"


class FailOn(StrEnum):
    """The changes that end the command with 1."""

    OPENED = "opened"
    CLOSED = "closed"
    ANY = "any"


_PATH = click.Path(path_type=Path, allow_dash=True)


@click.command(
    "diff",
    short_help="Print the pairs that a change opens and closes.",
    epilog=examples(
        ("Which pairs a change opens and closes:", "mnp diff old new"),
        (
            "In CI: fail if it opens anything, with a table for the pull request:",
            "mnp diff old new --fail-on opened --output markdown > summary.md",
        ),
    ),
)
@click.argument("paths", nargs=-1, type=_PATH, metavar="OLD NEW")
@click.option(
    "--with",
    "common",
    type=_PATH,
    metavar="PATH",
    multiple=True,
    help="Manifests that belong to both, such as network definitions; may be repeated.",
)
@probe_option("all ports")
@click.option(
    "--fail-on",
    type=click.Choice([each.value for each in FailOn]),
    help="End with 1 if a pair opens, closes, or either.",
)
@source_options
@form_option(Form, "Lines of text, one JSON value, or Markdown for a pull request.")
@settings_file_option
@click.pass_context
def diff_command(
    context: click.Context,
    *,
    origin: Source,
    common: tuple[Path, ...],
    probes: tuple[str, ...],
    fail_on: str | None,
    form: str,
    settings: Settings,
) -> int:
    """Print the pairs that open and that close between the manifests OLD and NEW, a file or a folder each.

    With --cluster the objects of the cluster belong to both, as if OLD and NEW were applied to it. Without OLD, that is
    what applying NEW to the cluster changes.

    All ports count, and addresses outside of the cluster. Workloads without pods count as one pod each.
    """
    specs = [parse_probe(probe) for probe in probes]
    old, new = _sides(origin)
    if [str(path) for path in (*old, *new, *common)].count(STDIN) > 1:
        raise InputError("standard input can be read once: name a file or folder instead of one -")
    registry = registry_of(context, settings)
    beneath = origin.beneath(registry, settings)
    sides = [origin.with_paths(*own, *common) for own in (old, new)]
    before = sides[0].judge(beneath, registry, settings, identify=True)
    after = sides[1].judge(beneath, registry, settings, identify=True, earlier=before.pods)
    found = list(differences(*_states(before, after, specs)))
    _print(Form(form), found, (before, after))
    is_bad = {
        FailOn.OPENED: any(each.opened for each in found),
        FailOn.CLOSED: any(each.closed for each in found),
        FailOn.ANY: bool(found),
    }
    return ANSWER_IS_BAD if fail_on and is_bad[FailOn(fail_on)] else 0


def _sides(origin: Source) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    """The manifests of the old state alone, and of the new one."""
    if origin.access is not None and len(origin.paths) == 1:
        return (), origin.paths
    if len(origin.paths) != 2:
        wanted = "OLD and NEW, or NEW alone with --cluster" if origin.access is None else "NEW alone, or OLD and NEW"
        given = "1 path is" if len(origin.paths) == 1 else f"{len(origin.paths)} paths are"
        raise click.UsageError(f"{given} given: name {wanted}.")
    return origin.paths[:1], origin.paths[1:]


def _states(old: Objects, new: Objects, specs: Sequence[ProbeSpec]) -> tuple[State, State]:
    """Both states, with the same blocks outside of the cluster and the same ports."""
    pods = [pod_ends(objects, attached(objects)) for objects in (old, new)]
    everything = [*pods[0], *pods[1]]
    blocks = outside_ends(everything, rule_cidrs(pods[0]) | rule_cidrs(pods[1]), old.unknown | new.unknown)
    asked = specs or port_spans(
        [*rule_ports(everything), *map(_declared, {s for end in everything for s in end.ports})]
    )
    ends = [[_without_ports(end) for end in (*each, *blocks)] for each in pods]
    made = [
        State(reach=Reachability([end.party for end in each], objects.wires, objects.subnets), ends=each, specs=asked)
        for objects, each in zip((old, new), ends, strict=True)
    ]
    return made[0], made[1]


def _declared(spec: ProbeSpec) -> PortRange:
    return PortRange(protocol=spec.protocol, first=spec.port or 0, last=spec.port or 0)


def _without_ports(end: End) -> End:
    return End(name=end.name, party=end.party, members=end.members)


def _print(form: Form, found: list[Difference], states: Sequence[Objects]) -> None:
    old, new = (objects.reports() for objects in states)
    if form is Form.JSON:
        reports = {"old": [report.as_json() for report in old], "new": [report.as_json() for report in new]}
        print_json({"changes": [*map(as_json, found)], "summary": summary(found), "reports": reports})
        return
    for report in new:
        remark(f"Warning: {report}")
    for report in sorted(set(old) - set(new)):
        remark(f"Warning, in OLD alone: {report}")
    if form is Form.MARKDOWN:
        click.echo(markdown_text(found), nl=False)
    else:
        click.echo("\n".join(text_lines(found)))
