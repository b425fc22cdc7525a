"""`kubectl mnp status`: the state of enforcement on all nodes."""

from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Any

import click

from mnp_core.classes import frozen
from mnp_core.cli.fleet.answers import AnswerError, Failures, clean, decode, exit_status, print_nodes, sort_answers
from mnp_core.cli.fleet.kubectl import AgentPod
from mnp_core.cli.fleet.options import Fleet, fleet_options, pod_options, remark_failures
from mnp_core.cli.formats.columns import age, in_columns
from mnp_core.cli.formats.status import findings, node_line, table
from mnp_core.cli.helping import examples
from mnp_core.cli.options import form_option
from mnp_core.cli.terminal import print_line

_HEADS = ("NODE", "STATE", "PODS", "ENFORCED", "FAILED", "PROBLEMS", "BACKEND", "VERSION", "UP", "AGENT")


class StatusForm(StrEnum):
    """The form of the answer."""

    TABLE = "table"
    WIDE = "wide"
    JSON = "json"


@frozen
class _Node:
    """The answer of a node: values of an agent, which may be of any version or none."""

    agent: AgentPod
    node: Mapping[str, Any]
    pods: Sequence[Mapping[str, Any]]

    @classmethod
    def of(cls, agent: AgentPod, output: bytes) -> "_Node":
        """Take it; raises AnswerError."""
        found = decode(output)
        node, pods = found.get("node"), found.get("pods")
        if not isinstance(node, dict) or not isinstance(pods, list) or not all(isinstance(pod, dict) for pod in pods):
            raise AnswerError("its answer is not that of mnp status")
        return cls(agent, {**node, "name": agent.node}, pods)

    def as_json(self) -> dict[str, object]:
        """For JSON."""
        return {"node": self.agent.node, "agent": self.agent.name, "status": {"node": self.node, "pods": self.pods}}

    def cleaned(self) -> "_Node":
        """The same for a terminal."""
        return _Node(self.agent, clean(self.node), clean(self.pods))

    def row(self) -> list[str]:
        """A line of the table."""
        failed = sum(pod.get("condition") == "Failed" for pod in self.pods)
        state = "ready" if self.node.get("ready") else f"not-ready({self.node.get('readiness')})"
        counts = [str(self.node.get(key)) for key in ("pods", "enforced")]
        problems = str(self.node.get("problems"))
        about = [str(self.node.get(key)) for key in ("backend", "version")]
        up = age(self.node.get("started-at"), self.node.get("time"))
        return [self.agent.node, state, *counts, str(failed), problems, *about, up, self.agent.name]


@click.command(
    "status",
    short_help="Print the state of enforcement on all nodes.",
    epilog=examples(
        ("A line for each node, then problems:", "kubectl mnp status"),
        ("The pods of a node:", "kubectl mnp status --node worker-1"),
        ("A pod, wherever it is:", "kubectl mnp status --pod shop/web -o wide"),
        ("Every field of 200 nodes:", "kubectl mnp status --at-once 50 -o json"),
    ),
)
@pod_options
@form_option(StatusForm, "A line for each node, the pods of each node, or one JSON value.")
@fleet_options
def status_command(*, fleet: Fleet, names: tuple[str, ...], selection: tuple[str, ...], form: str) -> int:
    """Print the state of enforcement on all nodes, as their agents have it.

    Runs mnp status in the container of each agent, by kubectl exec. Nodes that do not answer are named. Ends with 1 if
    some do not answer, with 2 if none does.
    """
    agents = fleet.agents(names)
    answers = fleet.ask(agents, ("status", "--output=json", *selection))
    found, failures = sort_answers(answers, _Node.of)
    shown, unshown = _show(StatusForm(form), [*found.values()], failures, is_detailed=bool(names) or len(agents) == 1)
    failures |= unshown
    remark_failures(failures)
    return exit_status(shown, failures)


def _show(form: StatusForm, found: Sequence[_Node], failures: Failures, *, is_detailed: bool) -> tuple[int, Failures]:
    """Print; the number of nodes that were shown, and the reasons of those that cannot be."""
    if form is StatusForm.JSON:
        print_nodes([each.as_json() for each in found], failures)
        return len(found), {}
    texts, unshown = {}, {}
    for each in map(_Node.cleaned, found):
        try:
            texts[each.agent.node] = _Text.of(each, form)
        except (TypeError, ValueError, AttributeError, ArithmeticError):  # of values that no agent of ours sends
            unshown[each.agent.node] = "its answer is not that of mnp status"
    for line in _lines(list(texts.values()), is_detailed=is_detailed or form is StatusForm.WIDE):
        print_line(line)
    return len(texts), unshown


@frozen
class _Text:
    """The answer of a node in words."""

    row: list[str]
    details: list[str]
    findings: list[str]

    @classmethod
    def of(cls, node: _Node, form: StatusForm) -> "_Text":
        is_wide = form is StatusForm.WIDE
        rows = [*table(node.node, node.pods, wide=is_wide)] if node.pods else []
        return cls(node.row(), [node_line(node.node), *rows], [*findings(node.pods, None if is_wide else 20)])


def _lines(texts: Sequence[_Text], *, is_detailed: bool) -> Iterator[str]:
    if not texts:
        return
    if not is_detailed:
        yield from in_columns(_HEADS, [text.row for text in texts])
    for text in texts:
        if is_detailed:
            yield from text.details
        if text.findings:
            yield ""
            yield from text.findings
        if is_detailed:
            yield ""
