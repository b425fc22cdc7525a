"""`mnp status`: the state of enforcement on this node. Asks the agent, not the cluster."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Any, Final

import click

from mnp_core.cli.agent import Question, question_options
from mnp_core.cli.formats.status import findings, node_line, pod_name, table
from mnp_core.cli.helping import examples
from mnp_core.cli.options import Seconds, form_option
from mnp_core.cli.terminal import is_terminal, print_json, print_line
from mnp_core.errors import InputError

_LEAST_SECONDS: Final = 0.2
_CONDITION_COLOURS: Final = {"Failed": "red", "Updating": "yellow", "AwaitingSandbox": "yellow"}


class StatusForm(StrEnum):
    """The form of the answer."""

    TABLE = "table"
    WIDE = "wide"
    JSON = "json"
    YAML = "yaml"


@click.command(
    "status",
    short_help="Print the state of enforcement on this node.",
    epilog=examples(
        ("One row for each interface:", "mnp status"),
        ("Names of policies, digests, the last change of a namespace's pods:", "mnp status -n shop -o wide"),
        ("Again every two seconds:", "mnp status --pod shop/web --watch"),
        ("Every field:", "mnp status -o json"),
    ),
)
@question_options
@form_option(StatusForm, "A table, one with more columns and all problems, or one JSON or YAML value.")
@click.option(
    "--watch",
    "-w",
    "interval",
    type=Seconds(min=_LEAST_SECONDS),
    is_flag=False,
    flag_value=2.0,
    default=None,
    metavar="[SECONDS]",
    help="Ask again every so many seconds, 2 by default, until Ctrl-C. JSON is one value a line then.",
)
def status_command(*, question: Question, form: str, interval: float | None) -> None:
    """Print the state of enforcement on this node.

    For each pod: its interfaces and their networks, the policies that isolate each direction, since when they are in
    force, and its problems.

    Run it as root on a node, in the agent's container: `kubectl exec -n kube-system POD -- mnp status`. It needs no
    access to the cluster.
    """
    shown = StatusForm(form)
    if interval is None:
        _show(_ask(question), shown)
        return
    while True:
        answer = _ask(question)
        if is_terminal() and shown not in {StatusForm.JSON, StatusForm.YAML}:
            click.clear()
        _show(answer, shown, repeated=True)
        time.sleep(interval)


def _ask(question: Question) -> dict[str, Any]:
    """The whole answer: the node, and its pods.

    Raises:
        InputError: A pod that is asked for is not there.
    """
    node: Mapping[str, Any] = {}
    pods: list[Mapping[str, Any]] = []
    for item in question.ask("status"):
        if isinstance(found := item.get("node"), dict):
            node = found
        if isinstance(found := item.get("pod"), dict):
            pods.append(found)
    missing = sorted({*question.pods} - {pod_name(pod) for pod in pods})
    if missing and not question.networks:
        raise InputError(f"pod {missing[0]} is not on this node, or has no interface of a secondary network")
    return {"node": node, "pods": pods}


def _show(answer: Mapping[str, Any], form: StatusForm, *, repeated: bool = False) -> None:
    match form:
        case StatusForm.JSON if repeated:
            click.echo(json.dumps(answer))
        case StatusForm.JSON:
            print_json(answer)
        case StatusForm.YAML:
            import yaml  # noqa: PLC0415 - the other forms start sooner

            click.echo(("---\n" if repeated else "") + yaml.safe_dump(answer, sort_keys=False), nl=False)
        case _:
            for line in _lines(answer["node"], answer["pods"], wide=form is StatusForm.WIDE):
                print_line(line, colour=_colour(line))


def _lines(node: Mapping[str, Any], pods: Sequence[Mapping[str, Any]], *, wide: bool) -> Iterator[str]:
    yield node_line(node)
    if not pods:
        yield "no such pod has an interface of a secondary network here"
        return
    yield ""
    yield from table(node, pods, wide=wide)
    if problems := list(findings(pods, None) if wide else findings(pods)):
        yield ""
        yield from problems


def _colour(line: str) -> str | None:
    return next((colour for word, colour in _CONDITION_COLOURS.items() if f" {word} " in f"{line} "), None)
