"""`kubectl mnp denied`: packets that rules of any node have denied."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

from mnp_core.cli.agent import networks_option
from mnp_core.cli.denied import (
    DeniedForm,
    missed_words,
    packet_words,
    print_suggestion,
    refuse_beside_suggest,
    since_option,
)
from mnp_core.cli.entrypoint import NOT_DONE
from mnp_core.cli.fleet.answers import AnswerError, clean, decode, exit_status, sort_answers
from mnp_core.cli.fleet.kubectl import AgentPod
from mnp_core.cli.fleet.options import Fleet, fleet_options, pod_options, remark_failures
from mnp_core.cli.fleet.streams import Line, Missed, Over
from mnp_core.cli.helping import examples
from mnp_core.cli.options import form_option
from mnp_core.cli.terminal import print_line, remark

Packet = Mapping[str, Any]


@click.command(
    "denied",
    short_help="Print packets that were denied on all nodes.",
    epilog=examples(
        ("The last packets of each pod, in the order of time", "kubectl mnp denied"),
        ("Those of a namespace as they come", "kubectl mnp denied -f -n shop"),
        ("Those of the last minute, and then as they come", "kubectl mnp denied -f --since 60"),
        ("Policies that would let the last flows to a pod pass", "kubectl mnp denied --pod shop/web --suggest"),
    ),
)
@click.option("--follow", "-f", is_flag=True, help="Packets as they are denied, until Ctrl-C.")
@since_option
@click.option("--suggest", is_flag=True, help="The smallest policies that let the flows pass, as YAML for review.")
@form_option(DeniedForm, "A line for each packet, or one JSON value a line with every field.")
@pod_options
@networks_option
@fleet_options
def denied_command(
    *,
    fleet: Fleet,
    names: tuple[str, ...],
    selection: tuple[str, ...],
    networks: tuple[str, ...],
    form: str,
    follow: bool,
    since: float | None,
    suggest: bool,
) -> int:
    """Print packets that were denied on all nodes, each with its node.

    Runs mnp denied in the container of each agent, by kubectl exec. Nodes that do not answer are named. Ends with 1 if
    some do not answer, with 2 if none does. With --follow it ends with 2 when the last node is followed no longer.
    """
    if suggest:
        refuse_beside_suggest(form, follow=follow)
    agents = fleet.agents(names)
    among = [f"--network={name}" for name in networks] + ([] if since is None else [f"--since={since:g}"])
    command = ("denied", *selection, *among)
    if follow:
        return _follow(fleet, agents, command, DeniedForm(form))
    answers = fleet.ask(agents, (*command, "--output=json"))
    lines, failures = sort_answers(answers, _lines)
    found = [packet for node, theirs in lines.items() for packet in _packets(node, theirs)]
    if suggest:
        print_suggestion(iter(found))
    else:
        for packet in sorted(found, key=lambda packet: str(packet.get("time"))):
            _show(packet, DeniedForm(form))
    remark_failures(failures)
    return exit_status(len(lines), failures)


def _follow(fleet: Fleet, agents: Sequence[AgentPod], command: Sequence[str], form: DeniedForm) -> int:
    """Print packets as they come until Ctrl-C, or until no node is left."""
    with fleet.stream(agents, (*command, "--follow", "--attended")) as events:
        for event in events:
            match event:
                case Line(node, data):
                    for packet in _packets(node, [data]):
                        _show(packet, form)
                case Missed(node, number):
                    remark(f"Warning: node {node}: {missed_words(number)}")
                case Over(node, reason):
                    remark(f"Warning: node {node} is followed no longer: {reason}")
    return NOT_DONE


def _lines(_agent: AgentPod, output: bytes) -> list[bytes]:
    return output.split(b"\n")


def _packets(node: str, lines: Sequence[bytes]) -> Iterator[Packet]:
    """The packets in the lines of a node, under its name in the API; other lines are named."""
    for line in filter(None, lines):
        try:
            found = decode(line)
        except AnswerError as error:
            remark(f"Warning: node {node}: {error}")
            continue
        if isinstance(missed := found.get("missed"), int):
            remark(f"Warning: node {node}: {missed_words(missed)}")
        else:
            yield {**found, "node": node}


def _show(packet: Packet, form: DeniedForm) -> None:
    if form is DeniedForm.JSON:
        click.echo(json.dumps(packet))
    else:
        safe = clean(packet)
        print_line(" ".join((str(safe["node"]), *filter(None, packet_words(safe)))))
