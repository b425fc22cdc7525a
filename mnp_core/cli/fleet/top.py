"""`kubectl mnp top`: packets and bytes a second by the rules of policies, of all nodes."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click

from mnp_core.classes import frozen
from mnp_core.cli.entrypoint import NOT_DONE
from mnp_core.cli.fleet.answers import AnswerError, Failures, clean, decode, exit_status, print_nodes, sort_answers
from mnp_core.cli.fleet.kubectl import AgentPod
from mnp_core.cli.fleet.options import Fleet, fleet_options, pod_options, remark_failures
from mnp_core.cli.formats.columns import in_columns
from mnp_core.cli.helping import examples
from mnp_core.cli.options import Output, output_option
from mnp_core.cli.rates import Rate
from mnp_core.cli.terminal import is_terminal, print_line
from mnp_core.cli.top import HEADS, draw, interval_options, row, screen


@frozen
class _Top:
    """The answer of a node about one interval."""

    node: str
    value: Mapping[str, Any]
    rates: Sequence[Rate]

    @classmethod
    def of(cls, agent: AgentPod, line: bytes) -> "_Top":
        """Take it; raises AnswerError."""
        value = decode(line)
        try:
            rates = [_rate(each) for each in clean(value)["rules"]]
            for each in rates:
                row(each)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
            raise AnswerError("its answer is not that of mnp top") from None
        return cls(agent.label, {**value, "node": agent.label}, rates)


@click.command(
    "top",
    short_help="Print packets and bytes a second by policy rule, of all nodes.",
    epilog=examples(
        ("Live:", "kubectl mnp top"),
        ("Every rule of a namespace, over one second:", "kubectl mnp top -n shop --once"),
        ("One JSON value a line, for each node and interval:", "kubectl mnp top --node worker-1 -o json"),
    ),
)
@interval_options(2.0)
@output_option
@pod_options
@fleet_options
def top_command(
    *, fleet: Fleet, names: tuple[str, ...], selection: tuple[str, ...], output: Output, once: bool, interval: float
) -> int:
    """Print packets and bytes a second by policy rule of all nodes, the busiest first, until Ctrl-C.

    Runs mnp top in the container of each agent, by kubectl exec. Nodes that do not answer are named. Without a terminal
    a table is that of --once. Ends with 1 if some nodes do not answer, with 2 if none does.
    """
    agents = fleet.agents(names)
    command = ("top", "--output=json", f"--interval={interval:g}", *selection)
    if once or (output is Output.TABLE and not is_terminal()):
        return _once(fleet, agents, command, output)
    return _live(fleet, agents, command, output)


def _once(fleet: Fleet, agents: Sequence[AgentPod], command: Sequence[str], output: Output) -> int:
    found, failures = _asked(fleet, agents, command)
    if output is Output.JSON:
        print_nodes([each.value for each in found], failures)
    else:
        for line in _lines(found):
            print_line(line)
    remark_failures(failures)
    return exit_status(len(found), failures)


def _live(fleet: Fleet, agents: Sequence[AgentPod], command: Sequence[str], output: Output) -> int:
    """Print until Ctrl-C, or until no node answers.

    Each interval is a question of its own: a program in a container outlives the kubectl that has started it.
    """
    with screen(live=output is Output.TABLE) as picture:
        while True:
            found, failures = _asked(fleet, agents, command, quiet=True)
            if not found:
                break
            if picture is not None:
                draw(picture, _lines(found))
                continue
            for each in found:
                click.echo(json.dumps(each.value))
            remark_failures(failures)
    remark_failures(failures)
    return NOT_DONE


def _asked(
    fleet: Fleet, agents: Sequence[AgentPod], command: Sequence[str], *, quiet: bool = False
) -> tuple[list[_Top], Failures]:
    """The answers about one interval, and the reasons of those that are none by node."""
    answers = fleet.ask(agents, (*command, "--once"), quiet=quiet)
    found, failures = sort_answers(answers, _Top.of)
    return [*found.values()], failures


def _lines(found: Iterable[_Top]) -> list[str]:
    rates = [(each.node, rate) for each in found for rate in each.rates]
    rates.sort(key=lambda one: (-one[1].packets_per_second, -one[1].packets, one[0]))
    return list(in_columns(("NODE", *HEADS), ([node, *row(rate)] for node, rate in rates)))


def _rate(value: Mapping[str, Any]) -> Rate:
    return Rate(
        pod=str(value["pod"]),
        interface=str(value["interface"]),
        direction=str(value["direction"]),
        rule=str(value["rule"]),
        packets=int(value["packets"]),
        bytes=int(value["bytes"]),
        packets_per_second=float(value["packets-per-second"]),
        bytes_per_second=float(value["bytes-per-second"]),
    )
