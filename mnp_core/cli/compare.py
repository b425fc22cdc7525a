"""`mnp compare`: the verdict on a flow against the kernels of this node's pods."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from mnp_core.cli.agent import socket_option
from mnp_core.cli.entrypoint import ANSWER_IS_BAD
from mnp_core.cli.helping import examples
from mnp_core.cli.options import Output, Seconds, flow_options, output_option
from mnp_core.cli.terminal import print_json, print_line
from mnp_core.node.status.client import Agent

Value = Mapping[str, Any]

_LONGEST_SECONDS = 10.0


@click.command(
    "compare",
    short_help="Compare the verdict on a flow with the kernels of pods.",
    epilog=examples(
        ("Whether the kernels agree with the policies:", "mnp compare --from demo/client --to demo/web --port tcp:80"),
        (
            "The deciding counters, before and after five seconds:",
            "mnp compare --from demo/client --to demo/web --seconds 5",
        ),
    ),
)
@flow_options
@click.option(
    "--seconds",
    type=Seconds(min=0, max=_LONGEST_SECONDS),
    default=0.0,
    show_default=True,
    help="Between two readings of the counters.",
)
@socket_option
@output_option
def compare_command(
    *, source: str, destination: str, ports: tuple[str, ...], seconds: float, path: Path, output: Output
) -> int:
    """Compare the verdict on a flow with the kernels of this node's pods.

    The agent judges the flow by the policies of this moment, reads the rules and the members of address groups in the
    pods' own network namespaces, and says whether they are the same, with the counter of the rule that decides. An end
    on another node is for the agent there. Ends with 1 if a kernel differs.
    """
    arguments = {"from": source, "to": destination, "ports": list(ports), "seconds": seconds}
    pods, ways = list[Value](), list[Value]()
    for item in Agent(path).ask("compare", arguments):
        pods += [item["pod"]] if isinstance(item.get("pod"), dict) else []
        ways += [item["way"]] if isinstance(item.get("way"), dict) else []
    if output is Output.JSON:
        print_json({"pods": pods, "ways": ways})
    else:
        for line in _lines(pods, ways, f"{source} and {destination}"):
            print_line(line)
    return 0 if all(pod.get("in-force") for pod in pods) else ANSWER_IS_BAD


def _lines(pods: Sequence[Value], ways: Sequence[Value], ends: str) -> Iterator[str]:
    if not pods:
        yield f"{ends}: neither is a pod of this node with rules"
    for pod in pods:
        yield from _pod(pod)
    if not ways:
        yield f"{ends} share no network: there is no way between them"
    for way in ways:
        port = "" if way.get("port") is None else f"/{way.get('port')}"
        flow = f"{way.get('from')} -> {way.get('to')} ({way.get('address')}) {way.get('protocol')}{port}"
        yield f"{flow} on {way.get('network')}: {way.get('verdict')}"
        for direction in ("egress", "ingress"):
            yield f"  {direction}: {_side(way.get(direction))}"


def _pod(pod: Value) -> Iterator[str]:
    name = f"{pod.get('namespace')}/{pod.get('name')}"
    if pod.get("in-force"):
        yield f"{name}: the kernel has the rules that policy wants ({pod.get('backend')}, digest {_digest(pod)})"
        return
    cause = pod.get("error") or f"digest {_digest(pod)} instead of {str(pod.get('wanted-digest'))[:12]}"
    yield f"{name}: the kernel DIFFERS from what policy wants: {cause}"
    for each in pod.get("sets") or ():
        names = ", ".join(map(str, [*each.get("missing-members", ()), *each.get("extra-members", ())]))
        yield f"  set {each.get('set')}: {each.get('missing')} missing, {each.get('extra')} too many: {names}"


def _digest(pod: Value) -> str:
    return str(pod.get("kernel-digest") or "none")[:12]


def _side(side: object) -> str:
    if not isinstance(side, Mapping):
        return "not on this node"
    decided = f"{side.get('verdict')}, {side.get('standing')}"
    counter = side.get("counter")
    if not counter:
        return decided
    before, after = (_packets(side.get(when)) for when in ("before", "after"))
    return f"{decided}; counter {counter}: {before} packets, then {after}"


def _packets(count: object) -> str:
    return str(count.get("packets")) if isinstance(count, Mapping) else "unknown"
