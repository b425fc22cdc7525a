"""`mnp matrix`: the pairs of pods that reach each other by the policies. Offline."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import click

from mnp_core.cli.matrix import print_matrices
from mnp_core.cli.names import parse_object_name
from mnp_core.cli.objects import Objects, read_objects
from mnp_core.cli.options import (
    Output,
    namespace_option,
    output_option,
    paths_argument,
    registry_of,
    settings_file_option,
)
from mnp_core.cli.terminal import print_json, remark, remark_reports, report_json, results
from mnp_core.errors import InputError
from mnp_core.model import ObjectName
from mnp_core.offline.probe import DEFAULT_SPEC, Probe, ProbeResult, ProbeSpec, ProbeVerdict, parse_probe
from mnp_core.policy.explain import Explanation, Flow, Host, explain
from mnp_core.settings import Settings

MOST_PAIRS = 40_000
"""Pairs of pods in one answer; a matrix of 200 pods is beyond reading already."""


@click.command("matrix", short_help="Print who reaches whom by the policies.")
@paths_argument()
@click.option("--from", "sources", metavar="POD", multiple=True, help="NAMESPACE/POD; may be repeated. [default: all]")
@click.option(
    "--to", "destinations", metavar="POD", multiple=True, help="NAMESPACE/POD; may be repeated. [default: all]"
)
@click.option(
    "--probe",
    "probes",
    metavar="PROBE",
    multiple=True,
    help="tcp:80, udp:53, sctp:99 or icmp; may be repeated. [default: what a destination declares, else tcp:80]",
)
@namespace_option
@output_option
@settings_file_option
@click.pass_context
def matrix_command(
    context: click.Context,
    paths: tuple[Path, ...],
    sources: tuple[str, ...],
    destinations: tuple[str, ...],
    probes: tuple[str, ...],
    namespace: str | None,
    output: Output,
    settings: Settings,
) -> None:
    """Print the matrix that `mnp lab run` would, worked out from the policies instead of packets.

    Custom rules and listeners are a matter of packets: only the lab asks them.
    """
    specs = [parse_probe(probe) for probe in probes]
    objects = read_objects(paths, registry_of(context, settings), settings, namespace)
    ends = [_chosen(objects, names, namespace) for names in (sources, destinations)]
    if len(ends[0]) * len(ends[1]) > MOST_PAIRS:
        raise InputError(
            f"{len(ends[0])} by {len(ends[1])} pods are no readable matrix: narrow it with --from and --to"
        )
    senders, receivers = (list(map(objects.host, names)) for names in ends)
    answers = list(_answers(objects, senders, receivers, specs))
    reports = objects.reports()
    if output is Output.JSON:
        print_json({"probes": [answer.as_json() for answer in answers], "reports": [*map(report_json, reports)]})
        return
    remark_reports(reports)
    if settings.common.custom:
        remark("Warning: custom rules come before the policies' and cannot be judged offline.")
    print_matrices(results(), answers)
    if not answers:
        click.echo("Nothing to say: no two pods have addresses on one network.")


def _chosen(objects: Objects, names: Iterable[str], namespace: str | None) -> list[ObjectName]:
    """The pods that were named, else all that have attachments."""
    attached = (name for name, pod in objects.pods.items() if pod.counts and pod.statuses)
    return [parse_object_name(name, namespace) for name in names] or sorted(attached)


def _answers(
    objects: Objects, senders: Iterable[Host], receivers: Iterable[Host], specs: list[ProbeSpec]
) -> Iterator[ProbeResult]:
    for sender in senders:
        for receiver in receivers:
            if sender.pod != receiver.pod:
                for spec in specs or _declared(objects, receiver):
                    flow = Flow(protocol=spec.protocol, port=spec.port)
                    for way in explain(sender, receiver, flow, objects.wires):
                        yield from _answer(way, sender, receiver, spec)


def _declared(objects: Objects, receiver: Host) -> list[ProbeSpec]:
    declared = {ProbeSpec(protocol=port.protocol, port=port.port) for port in objects.pods[receiver.pod].ports}
    return sorted(declared) or [DEFAULT_SPEC]


def _answer(way: Explanation, sender: Host, receiver: Host, spec: ProbeSpec) -> Iterator[ProbeResult]:
    ours, theirs = way.source.attachment, way.destination.attachment
    if ours is not None and theirs is not None:
        probe = Probe(
            source=sender.pod,
            source_interface=ours.interface,
            source_address=way.source.address,
            destination=receiver.pod,
            network=theirs.network,
            interface=theirs.interface,
            address=way.destination.address,
            protocol=spec.protocol,
            port=spec.port,
        )
        yield ProbeResult(probe=probe, verdict=ProbeVerdict.ALLOWED if way.allowed else ProbeVerdict.DENIED)
