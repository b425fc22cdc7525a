"""Answers of nodes: JSON of untrusted values, and those that are none."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from mnp_core.cli.entrypoint import ANSWER_IS_BAD, NOT_DONE
from mnp_core.cli.fleet.asking import Answer
from mnp_core.cli.fleet.kubectl import AgentPod
from mnp_core.cli.terminal import print_json
from mnp_core.telemetry.text import printable

T = TypeVar("T")

Failures = dict[str, str]
"""Reasons why nodes have not answered, by node."""


class AnswerError(ValueError):
    """An answer that is not as asked for."""


def decode(output: bytes) -> dict[str, Any]:
    """One JSON object.

    Raises:
        AnswerError: It is none.
    """
    try:
        found = json.loads(output)
    except (ValueError, RecursionError):  # also of text that is no UTF-8, and of numbers that are too long
        raise AnswerError(f"its answer is no JSON: {printable(output[:80].decode(errors='replace'))!s}") from None
    if not isinstance(found, dict):
        raise AnswerError("its answer is not the one of an agent")
    return found


def clean(value: Any) -> Any:
    """The same with texts that are safe for a terminal: one line each, without invisible characters."""
    match value:
        case str():
            return printable(value)
        case Mapping():
            return {printable(str(key)): clean(each) for key, each in value.items()}
        case Sequence():
            return [clean(each) for each in value]
        case _:
            return value


def sort_answers(
    answers: Mapping[AgentPod, Answer], parse: Callable[[AgentPod, bytes], T]
) -> tuple[dict[str, T], Failures]:
    """The parsed answers by node, and the reasons of the others.

    Args:
        answers: By agent.
        parse: Takes the output of an agent; raises AnswerError.
    """
    found: dict[str, T] = {}
    failures: Failures = {}
    for agent, answer in answers.items():
        try:
            if answer.failure:
                raise AnswerError(answer.failure)  # noqa: TRY301 # as those of `parse`
            found[agent.label] = parse(agent, answer.output)
        except AnswerError as error:
            failures[agent.label] = str(error)
    return found, failures


def print_nodes(nodes: Sequence[Mapping[str, object]], failures: Failures) -> None:
    """Print one JSON value: the nodes, and those that have not answered."""
    unanswered = [{"node": node, "reason": reason} for node, reason in failures.items()]
    print_json({"nodes": nodes, "unanswered": unanswered})


def exit_status(answered: int, failures: Failures) -> int:
    """The status of a command that asks many nodes: all answered, some, or none."""
    if not failures:
        return 0
    return ANSWER_IS_BAD if answered else NOT_DONE
