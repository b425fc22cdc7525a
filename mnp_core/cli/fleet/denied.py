"""`kubectl mnp denied`: packets that rules of any node have denied."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

from mnp_core.cli.denied import DeniedForm, packet_words, print_suggestion, refuse_beside_suggest
from mnp_core.cli.entrypoint import NOT_DONE
from mnp_core.cli.fleet.answers import AnswerError, clean, decode, exit_status, sort_answers
from mnp_core.cli.fleet.kubectl import AgentPod
from mnp_core.cli.fleet.options import Fleet, fleet_options, pod_options, remark_failures
from mnp_core.cli.helping import examples
from mnp_core.cli.options import form_option
from mnp_core.cli.terminal import print_line, remark

Packet = Mapping[str, Any]

_PAUSE = 1.0  # seconds between two looks


@click.command(
    "denied",
    short_help="Print packets that were denied on all nodes.",
    epilog=examples(
        ("The last packets of each pod, in the order of time", "kubectl mnp denied"),
        ("Those of a namespace as they come", "kubectl mnp denied -f -n shop"),
        ("Policies that would let the last flows to a pod pass", "kubectl mnp denied --pod shop/web --suggest"),
    ),
)
@click.option("--follow", "-f", is_flag=True, help="New packets, looked for every second, until Ctrl-C.")
@click.option("--suggest", is_flag=True, help="The smallest policies that let the flows pass, as YAML for review.")
@form_option(DeniedForm, "A line for each packet, or one JSON value a line with every field.")
@pod_options
@fleet_options
def denied_command(
    *, fleet: Fleet, names: tuple[str, ...], selection: tuple[str, ...], form: str, follow: bool, suggest: bool
) -> int:
    """Print packets that were denied on all nodes, each with its node.

    Runs mnp denied in the container of each agent, by kubectl exec. Nodes that do not answer are named. Ends with 1 if
    some do not answer, with 2 if none does.
    """
    if suggest:
        refuse_beside_suggest(form, follow=follow)
    agents = fleet.agents(names)
    if follow:
        return _follow(fleet, agents, selection, DeniedForm(form))
    answers = fleet.ask(agents, ("denied", "--output=json", *selection))
    lines, failures = sort_answers(answers, _lines)
    found = [packet for node, theirs in lines.items() for packet in _packets(node, theirs)]
    if suggest:
        print_suggestion(iter(found))
    else:
        for packet in sorted(found, key=lambda packet: str(packet.get("time"))):
            _show(packet, DeniedForm(form))
    remark_failures(failures)
    return exit_status(len(lines), failures)


def _follow(fleet: Fleet, agents: Sequence[AgentPod], selection: Sequence[str], form: DeniedForm) -> int:
    """Print packets that come from now on until Ctrl-C, or until no node answers.

    Each look is a question of its own: a program in a container outlives the kubectl that has started it.
    """
    known: dict[str, set[bytes]] = {}
    while True:
        answers = fleet.ask(agents, ("denied", "--output=json", *selection), quiet=True)
        found, failures = sort_answers(answers, _lines)
        remark_failures(failures)
        if not found:
            return NOT_DONE
        for node, lines in found.items():
            new = [line for line in lines if line not in known.get(node, lines)]
            known[node] = set(lines)
            for packet in _packets(node, new):
                _show(packet, form)
        time.sleep(_PAUSE)


def _lines(_agent: AgentPod, output: bytes) -> list[bytes]:
    return output.split(b"\n")


def _packets(node: str, lines: Sequence[bytes]) -> Iterator[Packet]:
    """The packets in the lines of a node, under its name in the API; other lines are named."""
    for line in filter(None, lines):
        try:
            yield {**decode(line), "node": node}
        except AnswerError as error:
            remark(f"Warning: node {node}: {error}")


def _show(packet: Packet, form: DeniedForm) -> None:
    if form is DeniedForm.JSON:
        click.echo(json.dumps(packet))
    else:
        safe = clean(packet)
        print_line(" ".join((str(safe["node"]), *filter(None, packet_words(safe)))))
