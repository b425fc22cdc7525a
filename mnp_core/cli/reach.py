"""`mnp matrix`: the pairs of pods that reach each other by the policies."""

from collections.abc import Callable, Iterable
from enum import StrEnum

import click
from attrs import evolve

from mnp_core.classes import frozen
from mnp_core.cli.ends import attached, outside_ends, pod_ends, rule_cidrs
from mnp_core.cli.helping import examples
from mnp_core.cli.names import parse_object_name
from mnp_core.cli.objects import Objects
from mnp_core.cli.options import form_option, paths_argument, probe_option, registry_of, settings_file_option
from mnp_core.cli.source import Source, paths_or_cluster, source_options
from mnp_core.cli.terminal import print_json, remark, remark_reports
from mnp_core.errors import InputError
from mnp_core.model import Address, ObjectName
from mnp_core.offline.probe import ProbeSpec, parse_probe
from mnp_core.offline.reach import Answer, End, Specs, answers, default_ports, grouped
from mnp_core.policy.ends import Host
from mnp_core.policy.reachability import Reachability
from mnp_core.settings import Settings

MOST_PAIRS = 40_000
"""Pairs of ends in one answer; a matrix of 200 pods is beyond reading already."""


class Form(StrEnum):
    """The form of the answers."""

    TABLE = "table"
    LIST = "list"
    JSON = "json"
    CSV = "csv"
    MARKDOWN = "markdown"
    DOT = "dot"
    HTML = "html"


@click.command(
    "matrix",
    short_help="Print who reaches whom by the policies.",
    epilog=examples(
        ("Who reaches whom:", "mnp matrix policies"),
        (
            "Also from outside of the cluster, on two ports, in lines:",
            "mnp matrix policies --outside --probe tcp:80 --probe icmp -o list",
        ),
        ("A page with filters, for a browser:", "mnp matrix policies --output html > matrix.html"),
    ),
)
@paths_argument(required=False)
@click.option("--from", "sources", metavar="POD", multiple=True, help="NAMESPACE/POD; may be repeated. [default: all]")
@click.option(
    "--to", "destinations", metavar="POD", multiple=True, help="NAMESPACE/POD; may be repeated. [default: all]"
)
@probe_option("what a destination declares, else tcp:80")
@click.option("--outside", is_flag=True, help="Add the blocks outside of the cluster that the policies tell apart.")
@click.option(
    "--group/--no-group",
    default=None,
    help="Pods with equal answers as one: web-1 (+4) are five. [default: above 40,000 pairs, such as of 200 pods]",
)
@source_options
@form_option(Form, "Matrices, lines of text, or a form for other programs.")
@settings_file_option
@click.pass_context
@paths_or_cluster
def matrix_command(  # noqa: PLR0913 # each option is one
    context: click.Context,
    *,
    origin: Source,
    sources: tuple[str, ...],
    destinations: tuple[str, ...],
    probes: tuple[str, ...],
    outside: bool,
    group: bool | None,
    form: str,
    settings: Settings,
) -> None:
    """Print the matrix that `mnp lab run` would, worked out from the policies instead of packets.

    Workloads without pods count as one pod each. Custom rules and listeners are a matter of packets: only the lab
    asks them.
    """
    specs = [parse_probe(probe) for probe in probes]
    objects = origin.read(registry_of(context, settings), settings, identify=True)
    chosen = [[parse_object_name(name, origin.home) for name in names] for names in (sources, destinations)]
    if form == Form.HTML:
        _page(objects, {name for names in chosen for name in names}, specs)
        return
    matrix = _matrix(objects, chosen[0], chosen[1], outside=outside, group=group)
    _print(Form(form), objects, matrix, (lambda _: specs) if specs else default_ports)


@frozen(kw_only=True)
class Matrix:
    """The ends on both sides, and the answers about them.

    Attributes:
        sources: The ends that send.
        destinations: The ends that receive.
        reach: Made for both.
        unknown: Addresses that only stand for others.
    """

    sources: list[End]
    destinations: list[End]
    reach: Reachability
    unknown: frozenset[Address]

    def answers(self, specs: Specs) -> Iterable[Answer]:
        """All answers."""
        return answers(self.reach, self.sources, self.destinations, specs)

    @property
    def groups(self) -> list[End]:
        """The ends that stand for several."""
        everything = {end.name: end for end in (*self.sources, *self.destinations)}
        return [end for end in everything.values() if len(end.members) > 1]


def _matrix(
    objects: Objects,
    sources: list[ObjectName],
    destinations: list[ObjectName],
    *,
    outside: bool,
    group: bool | None,
) -> Matrix:
    everything = attached(objects) if not sources or not destinations else []
    sending, receiving = set(sources or everything), set(destinations or everything)
    ends = pod_ends(objects, sorted(sending | receiving))
    blocks = outside_ends(ends, rule_cidrs(ends), objects.unknown) if outside else []
    reach = Reachability([end.party for end in (*ends, *blocks)], objects.wires, objects.subnets)
    pairs = (len(sending) + len(blocks)) * (len(receiving) + len(blocks))
    if group or (group is None and pairs > MOST_PAIRS):
        ends = grouped(reach, ends, lambda end: (end.name in sending, end.name in receiving))
        blocks = grouped(reach, blocks)
    senders = [end for end in ends if end.members[0] in sending] + blocks
    receivers = [end for end in ends if end.members[0] in receiving] + blocks
    if len(senders) * len(receivers) > MOST_PAIRS:
        raise InputError(
            f"{len(senders)} by {len(receivers)} ends are no readable matrix: narrow it with --from and --to"
        )
    unknown = objects.unknown | {end.party for end in blocks if not isinstance(end.party, Host)}
    return Matrix(sources=senders, destinations=receivers, reach=reach, unknown=unknown)


def _page(objects: Objects, names: set[ObjectName], specs: list[ProbeSpec]) -> None:
    """The page has filters of its own: both sides, and the world outside, are there."""
    from mnp_core.cli.page import make_page  # noqa: PLC0415 # of several forms one is needed
    from mnp_core.cli.page.data import page_data  # noqa: PLC0415 # as above

    pods = pod_ends(objects, sorted(names or attached(objects)))
    blocks = outside_ends(pods, rule_cidrs(pods), objects.unknown)
    ends = [evolve(end, ports=tuple(specs)) if specs else end for end in (*pods, *blocks)]
    reach = Reachability([end.party for end in ends], objects.wires, objects.subnets)
    asked = sorted({spec for end in ends for spec in end.ports})
    labels = {name: objects.pods[name].labels for name in names or attached(objects)}
    data = page_data(reach, ends, asked, labels, objects.unknown)
    remark_reports(objects.reports())
    click.echo(make_page(data, "Who reaches whom"), nl=False)


def _print(form: Form, objects: Objects, matrix: Matrix, specs: Specs) -> None:
    reports = objects.reports()
    found = list(matrix.answers(specs))
    if form is Form.JSON:
        groups = {str(end.name): [str(name) for name in end.members] for end in matrix.groups}
        probes = [answer.as_json(matrix.unknown) for answer in found]
        print_json({"probes": probes, "groups": groups, "reports": [report.as_json() for report in reports]})
        return
    remark_reports(reports)
    _remark(objects, matrix)
    if not found:
        remark("Nothing to say: no two pods have addresses on one network.")
    _PRINTERS[form](matrix, found)


def _remark(objects: Objects, matrix: Matrix) -> None:
    if objects.settings.common.custom:
        remark("Warning: custom rules come before the policies' and cannot be judged offline.")
    if objects.unknown:
        remark(
            "Note: addresses of some pods are not known: selectors are judged by the pods' labels, and no block of"
            " addresses but one of everything contains them."
        )
    for end in matrix.groups:
        remark(f"Note: {end.name} are {', '.join(map(str, end.members)):.2000}")


def _table(_: Matrix, found: list[Answer]) -> None:
    from mnp_core.cli.matrix import print_matrices  # noqa: PLC0415 # of several forms one is needed

    print_matrices(answer.result() for answer in found)


def _list(_: Matrix, found: list[Answer]) -> None:
    from mnp_core.cli.formats.lines import text_lines  # noqa: PLC0415 # as above

    for line in text_lines(found):
        click.echo(line)


def _csv(matrix: Matrix, found: list[Answer]) -> None:
    from mnp_core.cli.formats.csvtext import csv_text  # noqa: PLC0415 # as above

    click.echo(csv_text(found, matrix.unknown), nl=False)


def _markdown(_: Matrix, found: list[Answer]) -> None:
    from mnp_core.cli.formats.markdown import markdown_text  # noqa: PLC0415 # as above

    click.echo(markdown_text(found), nl=False)


def _dot(_: Matrix, found: list[Answer]) -> None:
    from mnp_core.cli.formats.dot import dot_text  # noqa: PLC0415 # as above

    click.echo(dot_text(found), nl=False)


_PRINTERS: dict[Form, Callable[[Matrix, list[Answer]], None]] = {
    Form.TABLE: _table,
    Form.LIST: _list,
    Form.CSV: _csv,
    Form.MARKDOWN: _markdown,
    Form.DOT: _dot,
}
