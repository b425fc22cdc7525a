"""`mnp lab probe`: send probes in a lab that is up."""

import click

from mnp_core.cli.helping import examples
from mnp_core.cli.names import parse_object_name
from mnp_core.cli.objects import decode_objects
from mnp_core.cli.options import Output, namespace_option, output_option, registry_of
from mnp_core.cli.terminal import progress
from mnp_core.errors import InputError
from mnp_core.model import ObjectName
from mnp_core.offline.probe import parse_probe
from mnp_lab.cli.enforcement import name_option, open_lab, remembered_settings
from mnp_lab.cli.judgement import Judge, ask
from mnp_lab.cli.output import print_answers, probe_options, tell_unenforced
from mnp_lab.lab import Lab


@click.command(
    "probe",
    short_help="Probe a lab that is up.",
    epilog=examples(
        ("Every pair of the lab:", "mnp lab probe"),
        ("One pair on one port:", "mnp lab probe --from demo/client --to demo/web --probe tcp:80"),
    ),
)
@name_option
@click.option(
    "--from", "sources", metavar="POD", multiple=True, help="NAMESPACE/POD; may be repeated. [default: all pods]"
)
@click.option(
    "--to", "destinations", metavar="POD", multiple=True, help="NAMESPACE/POD; may be repeated. [default: all pods]"
)
@click.option("--network", metavar="NETWORK", help="NAMESPACE/NETWORK. [default: all that two pods share]")
@namespace_option
@probe_options
@output_option
@click.pass_context
def probe_command(  # noqa: PLR0913, PLR0917 - click hands options over one by one
    context: click.Context,
    name: str,
    sources: tuple[str, ...],
    destinations: tuple[str, ...],
    network: str | None,
    namespace: str | None,
    probes: tuple[str, ...],
    timeout: float,
    output: Output,
) -> int:
    """Send packets between the pods of a lab that is up, and print the matrix.

    Ends with 1 if policies could not be enforced in some pod.
    """
    specs = [parse_probe(probe) for probe in probes]
    settings = remembered_settings(name)
    registry = registry_of(context, settings)
    with progress() as step, open_lab(name, registry, step) as lab:
        judge = Judge.of(lab, decode_objects(lab.plan.documents, registry, settings, lab.plan.wires), registry)
        questions = lab.plan_probes(
            specs,
            sources=_pods(sources, namespace, lab),
            destinations=_pods(destinations, namespace, lab),
            network=_network(network, namespace, lab) if network else None,
        )
        answers = ask(lab, questions, judge, timeout=timeout, progress=step)
    print_answers(answers, lab.plan.pods.values(), (), output)
    return tell_unenforced(lab)


def _pods(names: tuple[str, ...], namespace: str | None, lab: Lab) -> frozenset[ObjectName] | None:
    pods = frozenset(parse_object_name(name, namespace) for name in names)
    if missing := pods - lab.plan.pods.keys():
        known = ", ".join(map(str, sorted(lab.plan.pods))) or "none"
        raise InputError(
            f"there is no pod {', '.join(map(str, sorted(missing)))} in the lab: its pods are {known:.500}"
        )
    return pods or None


def _network(text: str, namespace: str | None, lab: Lab) -> ObjectName:
    network = parse_object_name(text, namespace)
    networks = {link.network for pod in lab.plan.pods.values() for link in pod.links}
    if network not in networks:
        known = ", ".join(map(str, sorted(networks))) or "none"
        raise InputError(f"no pod of the lab is on a network {network}: they are on {known:.500}")
    return network
