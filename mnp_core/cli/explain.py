"""`mnp explain`: why one pod reaches another, or does not."""

from collections.abc import Sequence
from itertools import product

import click

from mnp_core.classes import frozen
from mnp_core.cli.helping import examples
from mnp_core.cli.names import parse_object_name
from mnp_core.cli.objects import Objects
from mnp_core.cli.options import Output, flow_options, output_option, paths_argument, registry_of, settings_file_option
from mnp_core.cli.source import Source, paths_or_cluster, source_options
from mnp_core.cli.terminal import print_json, remark_reports
from mnp_core.model import Address, Report, parse_address
from mnp_core.offline.probe import DEFAULT_SPEC, ProbeSpec, parse_probe
from mnp_core.policy.ends import Flow, Host
from mnp_core.policy.explain import Explanation, describe, explain, obstacles
from mnp_core.settings import Settings


@click.command(
    "explain",
    short_help="Say why a pod reaches another, or does not.",
    epilog=examples(
        (
            "Why client reaches port 80 of web, or does not:",
            "mnp explain policies --from demo/client --to demo/web --port tcp:80",
        ),
        (
            "Who is let in from an address outside of the cluster:",
            "mnp explain policies --from 203.0.113.7 --to demo/web",
        ),
    ),
)
@paths_argument(required=False)
@flow_options
@source_options
@output_option
@settings_file_option
@click.pass_context
@paths_or_cluster
def explain_command(
    context: click.Context,
    *,
    origin: Source,
    source: str,
    destination: str,
    ports: tuple[str, ...],
    output: Output,
    settings: Settings,
) -> None:
    """Say why a pod reaches another over its secondary networks, or why it does not.

    For each network, or wire of several, that both are attached to: which policies stand on either side, and which
    rule decides. Pods without network-status have the addresses that `mnp lab` would give them.
    """
    answer = judge(origin.read(registry_of(context, settings), settings), source, destination, ports, origin.home)
    if output is Output.JSON:
        print_json(answer.as_json())
    else:
        remark_reports(answer.reports)
        click.echo(answer.words())


@frozen(kw_only=True)
class Explained:
    """The answer of objects to a question about a flow.

    Attributes:
        question: The two ends, as the user has named them.
        sources: The pods or the address that the first is.
        destinations: Likewise.
        explanations: Of each way of each flow.
        unknown: Why networks of both have no verdict.
        reports: Problems of the objects.
    """

    question: tuple[str, str]
    sources: tuple[Host | Address, ...]
    destinations: tuple[Host | Address, ...]
    explanations: tuple[Explanation, ...]
    unknown: tuple[str, ...]
    reports: tuple[Report, ...]

    def as_json(self) -> dict[str, object]:
        """For JSON."""
        return {
            "explanations": [explanation.as_json() for explanation in self.explanations],
            "unknown": list(self.unknown),
            "reports": [report.as_json() for report in self.reports],
        }

    def words(self) -> str:
        """For eyes."""
        if not self.explanations and not self.unknown:
            return "{} and {} share no network: there is no way between them.".format(*self.question)
        return "\n\n".join((*map(describe, self.explanations), *(f"{obstacle}." for obstacle in self.unknown)))


def judge(objects: Objects, source: str, destination: str, ports: Sequence[str], home: str | None) -> Explained:
    """Explain flows by objects.

    Args:
        objects: The objects.
        source: A pod or an address.
        destination: Likewise.
        ports: As of `flow_options`.
        home: Where names are that name no namespace.

    Raises:
        InputError: An argument cannot be understood, or there is no such pod.
    """
    flows = [parse_probe(port) for port in ports]
    ends = _ends(objects, source, home), _ends(objects, destination, home)
    pairs = list(product(*ends))
    return Explained(
        question=(source, destination),
        sources=ends[0],
        destinations=ends[1],
        explanations=tuple(
            explanation
            for sender, receiver in pairs
            for spec in flows or _declared(objects, receiver)
            for explanation in explain(sender, receiver, Flow(protocol=spec.protocol, port=spec.port), objects.wires)
        ),
        unknown=tuple(obstacle for pair in pairs for obstacle in obstacles(*pair, objects.wires)),
        reports=objects.reports(),
    )


def _ends(objects: Objects, text: str, namespace: str | None) -> tuple[Host | Address, ...]:
    """A pod, by its name or by its address, or an address that is no pod's."""
    try:
        address = parse_address(text)
    except ValueError:
        return (objects.host(parse_object_name(text, namespace)),)
    return objects.owners(address) or (address,)


def _declared(objects: Objects, receiver: Host | Address) -> list[ProbeSpec]:
    pod = objects.pods[receiver.pod] if isinstance(receiver, Host) else None
    ports = pod.ports if pod is not None else ()
    return sorted({ProbeSpec(protocol=port.protocol, port=port.port) for port in ports}) or [DEFAULT_SPEC]
