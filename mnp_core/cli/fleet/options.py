"""The agents that a command asks, and how: options that `kubectl mnp status`, `top` and `denied` share."""

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from functools import wraps
from typing import Any, TypeVar, cast

import click
from attrs import evolve, field

from mnp_core.classes import frozen
from mnp_core.cli.fleet.asking import ANSWERING, Answer, Limits, ask
from mnp_core.cli.fleet.kubectl import AgentPod, Kubectl
from mnp_core.cli.fleet.streams import LineStreams
from mnp_core.cli.names import parse_object_name
from mnp_core.cli.options import Count, Seconds, as_namespace
from mnp_core.cli.terminal import progress, remark
from mnp_core.errors import InputError

F = TypeVar("F", bound=Callable[..., Any])

NAMESPACE = "kube-system"
SELECTOR = "app.kubernetes.io/name=mnp-node"
CONTAINER = "mnp-node"
"""Of deploy/kustomize/base."""

_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")


@frozen(kw_only=True)
class Agents:
    """How agents are found and asked, in whichever cluster; attributes as of `Fleet`."""

    namespace: str
    selector: str
    container: str
    socket: str | None
    limits: Limits

    def fleet(
        self, kubeconfig: str | None, context: str | None, nodes: tuple[str, ...], at_once: int = Limits().at_once
    ) -> "Fleet":
        """Those of a cluster; raises UnsupportedError without a kubectl."""
        return Fleet(
            kubectl=Kubectl.find(kubeconfig, context),
            namespace=self.namespace,
            selector=self.selector,
            container=self.container,
            nodes=nodes,
            socket=self.socket,
            limits=evolve(self.limits, at_once=at_once),
        )


@frozen(kw_only=True)
class Fleet:
    """The agents to ask.

    Attributes:
        kubectl: The way to them.
        namespace: Of their pods.
        selector: Of their pods.
        container: Of theirs.
        nodes: Only these; empty for all.
        socket: Path of the agent's socket; None for the usual one.
        limits: Of time and number.
    """

    kubectl: Kubectl
    namespace: str = NAMESPACE
    selector: str = SELECTOR
    container: str = CONTAINER
    nodes: tuple[str, ...] = ()
    socket: str | None = None
    limits: Limits = field(factory=Limits)

    def agents(self, pods: Sequence[str] = ()) -> tuple[AgentPod, ...]:
        """The agents, one for each node.

        Args:
            pods: Namespaces and names: only the agents of their nodes.

        Raises:
            InputError: There are none, or a node has none.
            ApiUnreachableError: kubectl fails.
        """
        found = self.kubectl.agents(self.namespace, self.selector, self.limits.seconds)
        if not found:
            raise InputError(
                f"namespace {self.namespace} has no pods with the labels {self.selector}:"
                " name the agents' with --agent-namespace and --agent-selector"
            )
        wanted = {*self.nodes, *map(self._node_of, pods)}
        by_node = {agent.node: agent for agent in found}
        if missing := sorted(wanted - by_node.keys()):
            raise InputError(f"there is no agent on node {missing[0]}: there are on {', '.join(by_node):.500}")
        return tuple(by_node[node] for node in sorted(wanted)) if wanted else found

    def _node_of(self, pod: str) -> str:
        name = parse_object_name(pod)
        node = self.kubectl.node_of(name.namespace, name.name, self.limits.seconds)
        if not node:
            raise InputError(f"pod {name} is on no node yet")
        return node

    def ask(
        self,
        agents: Sequence[AgentPod],
        command: Sequence[str],
        *,
        quiet: bool = False,
        answering: frozenset[int] = ANSWERING,
    ) -> dict[AgentPod, Answer]:
        """Run `mnp` with these arguments in all containers; answers in the order of the agents.

        Args:
            agents: Those to ask.
            command: The arguments.
            quiet: Without a progress bar.
            answering: The exit statuses with which it has given an answer.
        """
        running = {agent.label: agent for agent in agents if agent.phase == "Running"}
        found = {agent: _not_running(agent) for agent in agents}
        commands = {key: self._command(agent, command) for key, agent in running.items()}
        with nullcontext(_nothing) if quiet else progress() as step:
            step("asking nodes", 0, len(commands))
            for count, answer in enumerate(ask(commands, self.limits, answering=answering), start=1):
                found[running[answer.key]] = answer
                step("asking nodes", count, len(commands))
        return found

    def stream(self, agents: Sequence[AgentPod], command: Sequence[str]) -> LineStreams:
        """Run `mnp` with these arguments in all containers, as long as it goes on there.

        Args:
            agents: Those to ask.
            command: The arguments; the command takes standard input as a sign of life.
        """
        running = [agent for agent in agents if agent.phase == "Running"]
        over = {agent.label: _not_running(agent).failure for agent in agents if agent not in running}
        commands = {agent.label: self._command(agent, command, fed=True) for agent in running}
        return LineStreams(commands, over, self.limits)

    def _command(self, agent: AgentPod, command: Sequence[str], *, fed: bool = False) -> list[str]:
        socket = (f"--socket={self.socket}",) if self.socket is not None else ()
        return self.kubectl.exec(self.namespace, agent, self.container, ("mnp", *command, *socket), fed=fed)


def _nothing(_what: str, _done: int, _total: int) -> None:
    """No progress bar."""


def _not_running(agent: AgentPod) -> Answer:
    return Answer(agent.label, failure=f"its agent's pod {agent.name} is {agent.phase}")


def remark_failures(failures: Mapping[str, str]) -> None:
    """Name the nodes that did not answer."""
    for node, reason in sorted(failures.items()):
        remark(f"Warning: node {node} does not answer: {reason}")


def pod_options(command: F) -> F:
    """``--pod`` and ``--namespace``, as parameters ``names``, and ``selection`` for `mnp` on the nodes."""

    @wraps(command)
    def with_pods(*args: Any, pods: tuple[str, ...], namespace: str | None, **others: Any) -> Any:
        names = tuple(str(parse_object_name(pod, namespace)) for pod in pods)
        selection = [f"--pod={name}" for name in names] or ([f"--namespace={namespace}"] if namespace else [])
        return command(*args, names=names, selection=tuple(selection), **others)

    pod = click.option("--pod", "pods", metavar="[NAMESPACE/]POD", multiple=True, help=_POD_HELP)
    namespace = click.option("--namespace", "-n", metavar="NAMESPACE", callback=as_namespace, help=_NAMESPACE_HELP)
    return cast("F", pod(namespace(with_pods)))


def fleet_options(command: F) -> F:
    """The options of a `Fleet`, together one parameter ``fleet``."""

    @wraps(command)
    def with_fleet(
        *args: Any,
        kubeconfig: str | None,
        kube_context: str | None,
        nodes: tuple[str, ...],
        at_once: int,
        agents: Agents,
        **others: Any,
    ) -> Any:
        return command(*args, fleet=agents.fleet(kubeconfig, kube_context, nodes, at_once), **others)

    decorated: Any = agents_options(with_fleet)
    for option in reversed(_OPTIONS):
        decorated = option(decorated)
    return cast("F", decorated)


def agents_options(command: F) -> F:
    """The options about agents wherever they are, together one parameter ``agents``."""

    @wraps(command)
    def with_agents(
        *args: Any,
        agent_namespace: str,
        agent_selector: str,
        agent_container: str,
        agent_socket: str | None,
        seconds: float,
        total_seconds: float,
        **others: Any,
    ) -> Any:
        agents = Agents(
            namespace=agent_namespace,
            selector=agent_selector,
            container=agent_container,
            socket=agent_socket,
            limits=Limits(seconds=seconds, total_seconds=total_seconds),
        )
        return command(*args, agents=agents, **others)

    decorated: Any = with_agents
    for option in reversed(_AGENTS):
        decorated = option(decorated)
    return cast("F", decorated)


_POD_HELP = "Only this pod, on its node; may be repeated."
_NAMESPACE_HELP = "Only pods in it, and of pods that name none. [default: all]"


def _container(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    if not _LABEL.fullmatch(value):
        raise click.BadParameter(f"{value[:80]!r} is not the name of a container")
    return value


def _something(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    if value is not None and not value.strip():
        raise click.BadParameter("it is empty")
    return value


_AGENTS = (
    click.option(
        "--agent-namespace",
        metavar="NAMESPACE",
        default=NAMESPACE,
        envvar="MNP_AGENT_NAMESPACE",
        callback=as_namespace,
        show_default=True,
        help="Of the agents' pods.",
    ),
    click.option(
        "--agent-selector",
        metavar="LABELS",
        default=SELECTOR,
        envvar="MNP_AGENT_SELECTOR",
        callback=_something,
        show_default=True,
        help="Of the agents' pods.",
    ),
    click.option(
        "--agent-container",
        metavar="NAME",
        default=CONTAINER,
        envvar="MNP_AGENT_CONTAINER",
        callback=_container,
        show_default=True,
        help="Of the agents' pods.",
    ),
    click.option(
        "--agent-socket", metavar="PATH", callback=_something, help="The agents' setting agent-socket, if it is set."
    ),
    click.option(
        "--timeout",
        "seconds",
        type=Seconds(min=0.1),
        metavar="SECONDS",
        default=Limits().seconds,
        show_default=True,
        help="For one node.",
    ),
    click.option(
        "--total-timeout",
        "total_seconds",
        type=Seconds(min=0.1),
        metavar="SECONDS",
        default=Limits().total_seconds,
        show_default=True,
        help="For all nodes.",
    ),
)
_OPTIONS = (
    click.option("--node", "nodes", metavar="NODE", multiple=True, help="Only this node; may be repeated."),
    click.option("--kubeconfig", metavar="FILE", callback=_something, help="As kubectl has it."),
    click.option("--context", "kube_context", metavar="NAME", callback=_something, help="As kubectl has it."),
    click.option(
        "--at-once",
        type=Count(1, 500),
        default=Limits().at_once,
        show_default=True,
        help="So many nodes are asked at once.",
    ),
)
