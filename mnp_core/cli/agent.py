"""Options of the commands that ask the agent of this node, and their questions."""

from collections.abc import Callable, Iterator, Mapping
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar, cast

import click

from mnp_core.classes import frozen
from mnp_core.cli.names import parse_object_name
from mnp_core.cli.options import as_namespace
from mnp_core.node.status.client import Agent
from mnp_core.settings import DEFAULT_AGENT_SOCKET

F = TypeVar("F", bound=Callable[..., Any])


@frozen(kw_only=True)
class Question:
    """The agent to ask, and the pods to ask about."""

    agent: Agent
    namespace: str = ""
    pods: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()

    def ask(
        self, request: str, arguments: Mapping[str, Any] | None = None, *, beats: bool = False
    ) -> Iterator[dict[str, Any]]:
        """The items of the answer; otherwise as `Agent.ask`."""
        return self.agent.ask(request, {**self._selection(), **(arguments or {})}, beats=beats)

    def _selection(self) -> Mapping[str, Any]:
        names = {"pods": list(self.pods), "networks": list(self.networks)}
        return {"namespace": self.namespace, **names}


def _networks(_context: click.Context, _parameter: click.Parameter, texts: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(str(parse_object_name(text, None)) for text in texts)


networks_option = click.option(
    "--network",
    "networks",
    metavar="NAMESPACE/NETWORK",
    multiple=True,
    callback=_networks,
    help="Only pods on it; may be repeated.",
)


def question_options(command: F) -> F:
    """``--socket``, ``--namespace``, ``--pod`` and ``--network``, together one parameter ``question``."""

    @wraps(command)
    def with_question(
        *args: Any, path: Path, namespace: str, pods: tuple[str, ...], networks: tuple[str, ...], **others: Any
    ) -> Any:
        names = tuple(str(parse_object_name(pod, namespace or None)) for pod in pods)
        question = Question(agent=Agent(path), namespace=namespace, pods=names, networks=networks)
        return command(*args, question=question, **others)

    decorated = networks_option(with_question)
    decorated = click.option(
        "--pod", "pods", metavar="[NAMESPACE/]POD", multiple=True, help="Only this pod; may be repeated."
    )(decorated)
    decorated = click.option(
        "--namespace",
        "-n",
        metavar="NAMESPACE",
        default="",
        callback=_namespace,
        help="Only pods in it. [default: all]",
    )(decorated)
    return cast("F", socket_option(decorated))


def _namespace(context: click.Context, parameter: click.Parameter, value: str) -> str:
    return as_namespace(context, parameter, value or None) or ""


socket_option = click.option(
    "--socket",
    "path",
    type=click.Path(path_type=Path),
    metavar="PATH",
    default=Path(DEFAULT_AGENT_SOCKET),
    show_default=True,
    help="The agent's socket, as its setting agent-socket has it.",
)
